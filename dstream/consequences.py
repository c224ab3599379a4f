"""Consequence and Finding: what a plan reports of the data, and of what apply and run would fail on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct, field

from dstream.diagnostics import Severity

UNITS = ("rows", "bytes", "hours", "messages")
"""The numbers that a text names, in this order."""


class Label(StrEnum):
    """What a consequence means for those who rely on the data."""

    BREAKING = "breaking"
    """Data is lost, repeated or refused, or a reader of the sink has to change."""
    FORWARD_ONLY = "forward-only"
    """It holds for data from here on; what was delivered stays as it is."""
    NON_BREAKING = "non-breaking"


class Consequence(Struct, frozen=True):
    """One thing that happens to the data if the plan is applied and its tasks run."""

    kind: str
    """restart, resume, reread, snapshot, duplicate, retention, schema, streams, loss, capacity, or another word of a
    provider."""
    label: Label
    text: str
    """One short sentence; `summary` in JSON."""
    detail: str = ""
    stream: str | None = None
    """The stream that it is about; None: all of them."""
    source: str = ""
    """The side of the task whose provider reports it, as `task.T.input`; empty: dstream itself."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """rows, bytes, hours, messages, or a provider's unit; never negative."""
    fix: str = ""

    @property
    def breaking(self) -> bool:
        """Whether data is lost, repeated or refused."""
        return self.label is Label.BREAKING

    def to_json(self) -> dict[str, object]:
        """Return the consequence as JSON values."""
        return {
            "kind": self.kind,
            "label": str(self.label),
            "summary": self.text,
            "detail": self.detail or None,
            "stream": self.stream,
            "source": self.source or None,
            "numbers": dict(self.numbers),
            "fix": self.fix or None,
        }

    @classmethod
    def from_json(cls, form: Mapping[str, object]) -> Consequence:
        """Return the consequence from the result of `to_json`; raise KeyError, TypeError or ValueError."""
        numbers, stream = form["numbers"], form["stream"]
        if not isinstance(numbers, Mapping):
            raise TypeError("numbers is an object")
        return cls(
            str(form["kind"]),
            Label(str(form["label"])),
            str(form["summary"]),
            str(form["detail"] or ""),
            None if stream is None else str(stream),
            str(form["source"] or ""),
            {str(name): as_number(value) for name, value in numbers.items()},
            str(form["fix"] or ""),
        )


class Finding(Struct, frozen=True):
    """Something that apply or run would fail on (ERROR), or may fail on (WARNING)."""

    severity: Severity
    summary: str
    detail: str = ""
    path: str | None = None
    """The setting that it is about, such as `config.tables[0]`."""
    fix: str = ""
    """The statement, role or setting that removes it."""


def as_number(value: object) -> float:
    """Return a number of JSON as int where it is whole, else as float; raise TypeError or ValueError."""
    number = float(str(value))
    return int(number) if number.is_integer() else number


def by_weight(found: Iterable[Consequence]) -> tuple[Consequence, ...]:
    """Return consequences with breaking ones first, then forward-only ones, otherwise in their order."""
    order = list(Label)
    return tuple(sorted(found, key=lambda each: order.index(each.label)))


def label_counts(found: Iterable[Consequence]) -> dict[str, int]:
    """Return the number of consequences by label."""
    counted = Counter(each.label for each in found)
    return {str(label): counted[label] for label in Label}
