"""Tests for providers: drive a provider's process through golden transcripts, or through the rules.

    from dstream_sdk.testing import check_provider

    def test_it_keeps_the_rules_of_the_protocol():
        check_provider(["dstream-in-orders"], config={"path": "orders.csv"})

`RunningInput`, `RunningOutput` and `ResourceSession` let a test play the host by hand.

Nothing here is imported by a provider that runs.
"""

from dstream_sdk.testing.kit import check_provider
from dstream_sdk.testing.process import Failed, ProviderProcess
from dstream_sdk.testing.replay import replay
from dstream_sdk.testing.roles import ResourceSession, RunningInput, RunningOutput, derived
from dstream_sdk.testing.transcript import Transcript, matches, read_transcript

__all__ = [
    "Failed",
    "ProviderProcess",
    "ResourceSession",
    "RunningInput",
    "RunningOutput",
    "Transcript",
    "check_provider",
    "derived",
    "matches",
    "read_transcript",
    "replay",
]
