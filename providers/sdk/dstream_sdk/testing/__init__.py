"""Tests for providers: drive a provider's process through golden transcripts, or through the rules.

    from dstream_sdk.testing import check_provider

    def test_it_keeps_the_rules_of_the_protocol():
        check_provider(["dstream-in-orders"], config={"path": "orders.csv"})

Nothing here is imported by a provider that runs.
"""

from dstream_sdk.testing.kit import check_provider
from dstream_sdk.testing.process import Failed, ProviderProcess
from dstream_sdk.testing.replay import replay
from dstream_sdk.testing.transcript import Transcript, matches, read_transcript

__all__ = ["Failed", "ProviderProcess", "Transcript", "check_provider", "matches", "read_transcript", "replay"]
