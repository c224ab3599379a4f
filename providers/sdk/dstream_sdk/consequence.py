"""Consequence and Finding: what a plan reports of the data, and of what would make the task fail.

`Input.consequences` and `Output.consequences` yield them; a plan shows them to whoever reviews it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Label = Literal["breaking", "non-breaking", "forward-only"]


class Consequence(NamedTuple):
    """One thing that happens to the data if the plan is applied and the task runs.

    `kind` is one of resume, reread, snapshot, duplicate, retention, schema, streams, loss, capacity, or another word:
    a host shows kinds that it does not know as text. `label` is `breaking` if data is lost, repeated or refused, or a
    reader of the sink has to change; `forward-only` if it holds for data from here on and leaves what was delivered
    as it is; `non-breaking` otherwise. `summary` is one short sentence without the name of the task.
    """

    kind: str
    summary: str
    label: Label = "non-breaking"
    detail: str = ""
    stream: str | None = None
    """The stream that it is about; None: all of them."""
    rows: float | None = None
    bytes: float | None = None
    hours: float | None = None
    messages: float | None = None
    fix: str = ""
    """The statement, command or setting that avoids it."""

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, without members that are empty."""
        form: dict[str, Any] = {"kind": self.kind, "label": self.label, "summary": self.summary}
        for name in ("detail", "stream", "fix"):
            if value := getattr(self, name):
                form[name] = value
        pairs = ((name, getattr(self, name)) for name in ("rows", "bytes", "hours", "messages"))
        if numbers := {name: value for name, value in pairs if value is not None}:
            form["numbers"] = numbers
        return form


class Finding(NamedTuple):
    """Something on the server that apply or run would fail on, found before they start.

    `certain`: they fail for sure, and the plan is refused; otherwise it is a warning. `summary` is the same for all of
    a kind, `fix` the statement, role or setting that removes it, `path` the setting that it is about.
    """

    summary: str
    detail: str = ""
    fix: str = ""
    path: str | None = None
    certain: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, without members that are empty."""
        form: dict[str, Any] = {"severity": "error" if self.certain else "warning", "summary": self.summary}
        for name in ("detail", "fix", "path"):
            if value := getattr(self, name):
                form[name] = value
        return form


class Prior(NamedTuple):
    """What the host has recorded of the task that is planned; empty for a task that was never applied."""

    applied: bool = False
    checkpoint: Mapping[str, Any] | None = None
    """The stored position of the input; None if it has none, or starts over."""
    checkpoint_age: float | None = None
    """Seconds since the checkpoint was stored."""
    config: Mapping[str, Any] | None = None
    """The applied settings of this side, without secrets; None if they are not recorded."""
    streams: tuple[str, ...] = ()
    """The names of the streams that the input had."""
    running: bool = False
    """Whether the task may be running: its session is then ahead of the checkpoint, and so may the source be. No error
    follows from whether the checkpoint can be resumed."""

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Prior:
        """Return the record from its wire form; members of other types count as absent."""
        checkpoint, age, config = form.get("checkpoint"), form.get("checkpoint_age"), form.get("config")
        return cls(
            form.get("applied") is True,
            checkpoint if isinstance(checkpoint, dict) else None,
            float(age) if isinstance(age, int | float) and not isinstance(age, bool) else None,
            config if isinstance(config, dict) else None,
            tuple(map(str, form.get("streams") or ())),
            form.get("running") is True,
        )
