"""Flow, RunOptions, RunOutcome: a flow to run, the options of a run, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from dstream.diagnostics import Diagnostic
from dstream.plugins.binary import Binary
from dstream.plugins.probe import ProviderInfo

MIB = 1024 * 1024
SideName = Literal["input", "output"]


class Endpoint(Struct, frozen=True):
    """One end of a flow: a provider and its configuration in clear."""

    binary: Binary
    info: ProviderInfo
    config_json: Mapping[str, Any]
    secrets: tuple[str, ...] = ()
    """Sensitive texts, which never appear in what the provider logs."""


class Flow(Struct, frozen=True):
    """From one input to one output. `name` is that of its checkpoint and lease, `task` what providers are given."""

    name: str
    task: str
    input: Endpoint
    output: Endpoint
    streams: tuple[Mapping[str, Any], ...] = ()
    fingerprint: str = ""
    record_limit: int = 16 * MIB
    """Bytes that a record may have; a longer one becomes a dead letter."""
    max_dead_letters: int | None = None
    """Dead letters that a run may add before it ends; None: as many as there are."""
    address: str = ""
    """Address of the task, or of its labelled output, for messages."""
    objects: Mapping[str, Any] = field(default_factory=dict)
    """Identity and creation marker of each object that the input needs: a checkpoint is of no use without them."""

    @property
    def acks(self) -> bool:
        """Whether delivery is confirmed: the input writes checkpoints and the output acknowledges them."""
        return (
            self.input.info.protocol >= 2
            and "checkpoint" in self.input.info.capabilities
            and (self.output.info.acknowledges)
        )

    @property
    def schemas(self) -> bool:
        """Whether the input announces the columns of its streams, and their changes, to the output."""
        return self.acks and "schemas" in self.output.info.capabilities

    @property
    def delivery(self) -> str:
        """What plan, run and status say about the delivery."""
        if not self.acks:
            return "delivery not confirmed"
        if self.stores_checkpoint:
            return "at least once, effectively once in the sink"
        return "at least once"

    @property
    def stores_checkpoint(self) -> bool:
        """Whether the output keeps the checkpoint together with the data."""
        return self.acks and "stores_checkpoint" in self.output.info.capabilities


class RunOptions(Struct, frozen=True):
    """How to run. Times are in seconds."""

    until_idle: bool = False
    """End when everything has been moved that was there at the start."""
    max_records: int | None = None
    """End after this many records (version 2: at the next consistent point)."""
    skip_records: int = 0
    """Put this many records behind the checkpoint into the dead letters instead of delivering them."""
    grace: float = 30.0
    """How long a graceful stop may take before the providers are killed."""
    drain: float = 300.0
    """How long an output may take, without acknowledging anything, to finish after a normal end."""
    start_timeout: float = 30.0
    lock_timeout: float = 0.0
    """How long to wait for another runner of the same task to end."""
    store_interval: float = 1.0
    """Checkpoints are stored, and committed to the input, at most once in this time."""
    idle_seconds: float = 5.0
    """`until_idle` of a version 1 input, which cannot say that it is idle: silent for this long."""
    first_delay: float = 1.0
    """Before the first restart; doubled for each further one that brought no progress."""
    longest_delay: float = 60.0
    attempts: int = 3
    """Sessions that may end at the same checkpoint before the task is blocked."""


class Totals(Struct, frozen=True):
    """What the output has received so far; `stored` counts the records before the checkpoint stored last."""

    records: int = 0
    bytes: int = 0
    stored: int = 0
    dead_letters: int = 0
    text_lines: int = 0
    """Lines of an unconfirmed input that were not envelopes: shown, and not handed over."""


Status = Literal["ended", "stopped", "blocked", "failed", "lost"]


class RunOutcome(Struct, frozen=True):
    """How a run ended.

    `ended`: the input had no more, or a limit was reached; `stopped`: on request; `blocked`: no progress in several
    sessions; `failed`: an error that a restart does not fix; `lost`: another runner has taken the lease.
    """

    status: Status
    totals: Totals
    checkpoint: Mapping[str, Any] | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    sessions: int = 0
    too_many_dead_letters: bool = False
    """Whether the run was ended because of its dead letters."""

    @property
    def ok(self) -> bool:
        """Whether the run ended as it should."""
        return self.status in ("ended", "stopped")

    def exit_code(self, flow: Flow) -> int:
        """Return 0, 1 if the run of `flow` failed, or 3 if it added more dead letters than the flow accepts."""
        if self.totals.dead_letters > (flow.max_dead_letters or 0) and (self.ok or self.too_many_dead_letters):
            return 3
        return 0 if self.ok else 1
