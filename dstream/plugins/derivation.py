"""Derivation: what one side of a task requires, and its form on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity
from dstream.plugins.assessment import Assessment, assessment
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import complaints
from dstream_state import NO_TIMEOUTS, TIMED, Timeouts

ASSESS_SECONDS = 30.0
LONGEST_SECONDS = 365 * 24 * 3600
"""The most seconds that a provider can be given for one change."""


class PlanRequest(Struct, frozen=True):
    """A request to plan for one task, or for one flow of it."""

    task: str
    config: Mapping[str, Any]
    """In wire form, secrets in clear."""
    streams: Sequence[Mapping[str, Any]] | None = None
    """What the input delivers; None for an input."""
    assess: Mapping[str, Any] | None = None
    """What is recorded of the task, so that the answer has consequences; only for providers with that capability."""
    redact: tuple[str, ...] = ()
    """Secrets that no message may repeat."""

    @property
    def extra_seconds(self) -> float:
        """How much longer than usual the answer may take: consequences are asked of a server."""
        return 0.0 if self.assess is None else ASSESS_SECONDS

    def members(self) -> dict[str, Any]:
        """Return the members of the wire form that describe the task."""
        form: dict[str, Any] = {"task": self.task, "config": self.config}
        if self.streams is not None:
            form["streams"] = list(self.streams)
        if self.assess is not None:
            form["assess"] = self.assess
        return form


class DerivedResource(Struct, frozen=True):
    """An object that one side of a task asks for."""

    type: str
    key: str
    attributes: Mapping[str, Any]
    """As on the wire: `{"$unknown":true}` and `{"$object":...}` inside."""
    depends_on: tuple[tuple[str, str], ...] = ()
    """(type, key) of objects of the same side that must exist first."""
    aliases: tuple[tuple[str, str], ...] = ()
    """(type, key) that the same object had earlier."""
    sensitive: tuple[tuple[str | int, ...], ...] = ()
    """Places in the attributes whose values are secret, beside those that the type's schema names."""
    prevent_destroy: bool = False
    ignore_changes: tuple[str, ...] = ()
    create_before_destroy: bool = False
    timeouts: Timeouts = NO_TIMEOUTS


class Derivation(Struct, frozen=True):
    """The answer of one side."""

    resources: tuple[DerivedResource, ...] = ()
    streams: tuple[Mapping[str, Any], ...] = ()
    deferred: tuple[str, ...] | None = None
    """Paths of the configuration that must be known first; None when the answer is complete."""
    released: tuple[tuple[str, str], ...] = ()
    """(type, key) of objects that the task needs no longer, with which nothing is lost though their type holds data."""
    warnings: tuple[Diagnostic, ...] = ()
    """What users are to know of the answer."""
    assessment: Assessment = Assessment()
    """What happens to the data, if the request asked for it."""


class PlanAnswer:
    """The lines of one answer to `plan`, received one after the other."""

    def __init__(self, provider: str, redactor: Redactor) -> None:
        """Take the name of the provider for messages, and the redactor of what they quote."""
        self._provider, self._redactor = provider, redactor
        self._resources: list[DerivedResource] = []
        self._keys: set[tuple[str, str]] = set()
        self._streams: list[Mapping[str, Any]] = []

    def add(self, form: Mapping[str, Any]) -> Derivation | None:
        """Take the next line; return the derivation if it is the last one, "done" or "deferred".

        Raise DiagnosticsError for an error that the provider reports, and ValueError for a line that is not part of
        an answer.
        """
        try:
            if "resource" in form:
                resource = _resource(form["resource"])
                if (resource.type, resource.key) in self._keys:
                    raise ValueError(f"a second {resource.type} with the key {resource.key!r}")
                self._keys.add((resource.type, resource.key))
                self._resources.append(resource)
            elif "stream" in form:
                self._streams.append(_stream(form["stream"]))
            elif "status" in form:
                return self._ended(form)
        except (TypeError, AttributeError, KeyError) as problem:
            raise ValueError(str(problem)) from None
        return None

    def _ended(self, form: Mapping[str, Any]) -> Derivation:
        status = form["status"]
        if status == "done":
            reported = (each.diagnostic for each in complaints(form, self._redactor, self._provider))
            warnings = tuple(replace(each, severity=Severity.WARNING) for each in reported)
            return Derivation(
                tuple(self._resources),
                tuple(self._streams),
                released=_pairs(form.get("released")),
                warnings=warnings,
                assessment=assessment(form, self._redactor),
            )
        if status == "deferred":
            needs = form.get("needs")
            paths = tuple(str(each) for each in needs) if isinstance(needs, list) else ()
            return Derivation(deferred=paths or ("config",))
        if status == "error":
            errors = complaints(form, self._redactor, self._provider)
            raise DiagnosticsError(
                [replace(each.diagnostic, transient=each.error_class == "retriable") for each in errors]
            )
        raise ValueError(f"status {self._redactor.text(repr(status))}; known are done, deferred and error")


def _resource(form: Mapping[str, Any]) -> DerivedResource:
    type_, key, attributes = form["type"], form["key"], form.get("attributes") or {}
    if not (isinstance(type_, str) and type_ and isinstance(key, str) and isinstance(attributes, dict)):
        raise ValueError("type and key are texts, attributes is an object")
    lifecycle = form.get("lifecycle") or {}
    return DerivedResource(
        type_,
        key,
        attributes,
        _pairs(form.get("depends_on")),
        _pairs(form.get("aliases")),
        tuple(tuple(path) for path in form.get("sensitive") or ()),
        lifecycle.get("prevent_destroy") is True,
        tuple(str(name) for name in lifecycle.get("ignore_changes") or ()),
        lifecycle.get("create_before_destroy") is True,
        _timeouts(form.get("timeouts") or {}),
    )


def is_timeout(seconds: Any) -> bool:
    """Return whether a value of the wire is a timeout: seconds, more than 0 and at most a year."""
    number = isinstance(seconds, int | Decimal) and not isinstance(seconds, bool)
    return number and 0 < seconds <= LONGEST_SECONDS


def _timeouts(form: Mapping[str, Any]) -> Timeouts:
    given = {name: form[name] for name in TIMED if form.get(name) is not None}
    for name, seconds in given.items():
        if not is_timeout(seconds):
            raise ValueError(f"timeouts.{name} is a number of seconds, more than 0 and {LONGEST_SECONDS} at most")
    return Timeouts.from_json(given)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(type_), str(key)) for type_, key in value or ())


def _stream(form: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(form, dict) or not isinstance(form.get("name"), str):
        raise ValueError("a stream has a name")
    return form
