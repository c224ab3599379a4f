"""Derivation: queries one side of a task for its required objects and, for an input, its streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity
from dstream.plugins.binary import Binary
from dstream.plugins.errors import died, failure, garbage, hung
from dstream.plugins.one_shot import Conversation, converse
from dstream.plugins.pending import Pending
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.process import begin_binary
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import PROTOCOL, complaints, decode_object, encode
from dstream_state import NO_TIMEOUTS, TIMED, Timeouts

DERIVE_SECONDS = 30.0
LONGEST_SECONDS = 365 * 24 * 3600
"""What a provider can be given for one change at the most."""
_WAITING = 'the answer to "plan"'


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


def derive(
    binary: Binary,
    info: ProviderInfo,
    *,
    task: str,
    role: str,
    config_json: Mapping[str, Any],
    streams: Sequence[Mapping[str, Any]] | None = None,
    timeout: float = DERIVE_SECONDS,
    redact: Iterable[str] = (),
) -> Derivation:
    """Ask and wait; raise DiagnosticsError if the answer is anything but complete or deferred."""
    return begin_derive(
        binary, info, task=task, role=role, config_json=config_json, streams=streams, timeout=timeout, redact=redact,
    ).result()  # fmt: skip


def begin_derive(
    binary: Binary,
    info: ProviderInfo,
    *,
    task: str,
    role: str,
    config_json: Mapping[str, Any],
    streams: Sequence[Mapping[str, Any]] | None = None,
    timeout: float = DERIVE_SECONDS,
    redact: Iterable[str] = (),
) -> Pending[Derivation]:
    """Ask without waiting for the answer. `info` must be of version 2: a version 1 provider is never asked."""
    if info.protocol < PROTOCOL:
        raise ValueError(f"{binary.name} speaks version 1, which has no derivation")
    opening: dict[str, Any] = {"command": "plan", "protocol": PROTOCOL, "role": role, "task": task}
    opening["config"] = config_json
    if streams is not None:
        opening["streams"] = list(streams)
    starting = begin_binary(binary)
    redactor = Redactor(redact)

    def ask() -> Derivation:
        said = converse(starting.result(), encode(opening), timeout=timeout, redactor=redactor)
        return _understand(binary.name, said, timeout, redactor)

    return Pending(ask, f"derive {task} {role}")


def _understand(name: str, said: Conversation, timeout: float, redactor: Redactor) -> Derivation:
    if said.timed_out:
        raise hung(name, _WAITING, timeout, said.rest, redactor, said.tail)
    resources: list[DerivedResource] = []
    streams: list[Mapping[str, Any]] = []
    for line in said.lines:
        if not line.strip():
            continue
        form = decode_object(line)
        if form is None:
            raise garbage(name, "part of " + _WAITING, line, redactor, said.tail)
        if "resource" in form or "stream" in form:
            try:
                if "resource" in form:
                    resources.append(_resource(form["resource"]))
                else:
                    streams.append(_stream(form["stream"]))
            except (TypeError, ValueError, AttributeError, KeyError) as problem:
                raise garbage(name, f"well formed ({problem})", line, redactor, said.tail) from None
        elif "status" in form:
            try:
                return _ended(name, form, said, Derivation(tuple(resources), tuple(streams)), redactor)
            except (TypeError, ValueError) as problem:
                raise garbage(name, f"well formed ({problem})", line, redactor, said.tail) from None
    if said.overlong:
        raise garbage(name, "as short as a line may be", said.rest, redactor, said.tail)
    raise died(name, f"the end of {_WAITING}", said.exit_code, said.rest, redactor, said.tail)


def _ended(name: str, form: Mapping[str, Any], said: Conversation, found: Derivation, redactor: Redactor) -> Derivation:
    status = form["status"]
    if status == "error":
        found_errors = complaints(form, redactor, name)
        raise DiagnosticsError(
            [replace(each.diagnostic, transient=each.error_class == "retriable") for each in found_errors]
        )
    if said.exit_code != 0:
        raise died(name, "ending with exit code 0", said.exit_code, b"", redactor, said.tail)
    if status == "done":
        said_too = (each.diagnostic for each in complaints(form, redactor, name))
        warnings = tuple(replace(each, severity=Severity.WARNING) for each in said_too)
        return replace(found, released=_pairs(form.get("released")), warnings=warnings)
    if status == "deferred":
        needs = form.get("needs")
        paths = tuple(str(each) for each in needs) if isinstance(needs, list) else ()
        return Derivation(deferred=paths or ("config",))
    detail = f"{name} ended {_WAITING} with status {redactor.text(repr(status))}; known are done, deferred and error."
    raise DiagnosticsError(failure("Provider broke the protocol", detail, said.tail))


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
