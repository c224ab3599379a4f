"""Probe: queries name, version, roles and schemas of a provider, once per content of its executable and machine.

What a provider answered is a record of this machine (`registry/machine_records.py`): its schemas decide what is
sensitive, so no file of the checkout may supply them. With `DSTREAM_PROBE=1` and an empty stdin, a version 2 provider
prints one line and exits. Anything else within five seconds means version 1: some old inputs start streaming
immediately, so the first line that is no answer ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct, field

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.plugins.binary import Binary
from dstream.plugins.environment import provider_environment
from dstream.plugins.errors import failure, garbage
from dstream.plugins.one_shot import converse
from dstream.plugins.pending import Pending
from dstream.plugins.process import begin_binary
from dstream.plugins.redact import Redactor
from dstream.plugins.schema import ResourceSchema, parse_schema
from dstream.plugins.schema_keywords import require_supported
from dstream.plugins.wire import PROTOCOL, decode_object, encode
from dstream.registry.machine_records import MachineRecords

PROBE_SECONDS = 5.0
_IMAGE_SECONDS = 60.0
"""An engine may take its time to start and to remove a container."""
_FORMAT = 2
_KIND = "probe"
_ANSWER = b'{"protocol":2'


class ProviderInfo(Struct, frozen=True):
    """The description that a provider reports. Of a version 1 provider nothing is known but the name of its
    executable."""

    protocol: Literal[1, 2]
    name: str
    version: str
    roles: frozenset[str]
    capabilities: frozenset[str] = frozenset()
    config_schema: Mapping[str, Any] | None = None
    resources: Mapping[str, ResourceSchema] = field(default_factory=dict)
    digest: str = ""

    @property
    def acknowledges(self) -> bool:
        """Whether, as an output, it confirms what it has written."""
        return self.protocol >= PROTOCOL and "checkpoint" in self.capabilities


def probe(binary: Binary, *, records: MachineRecords | None = None) -> ProviderInfo:
    """Return what `binary` is; raise DiagnosticsError if it cannot be started or answers nonsense."""
    return begin_probe(binary, records=records).result()


def probe_many(binaries: Iterable[Binary], *, records: MachineRecords | None = None) -> list[ProviderInfo]:
    """Probe several providers together; raise DiagnosticsError with all errors."""
    pending: dict[tuple[str, ...], Pending[ProviderInfo]] = {}
    ordered = []
    for binary in binaries:
        if binary.argv not in pending:
            pending[binary.argv] = begin_probe(binary, records=records)
        ordered.append(pending[binary.argv])
    problems: list[Diagnostic] = []
    for each in pending.values():
        try:
            each.result()
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return [each.result() for each in ordered]


def begin_probe(binary: Binary, *, records: MachineRecords | None = None) -> Pending[ProviderInfo]:
    """Start a probe without waiting for it."""
    return Pending(lambda: _probe(binary, records), f"probe {binary.name}")


def known(binary: Binary, records: MachineRecords | None) -> ProviderInfo | None:
    """Return what `binary` has said of itself on this machine; nothing is started.

    Raise DiagnosticsError if the lock file has another answer.
    """
    answer = recorded_answer(binary, records)
    if answer is None:
        return None
    _check_locked(binary, answer)
    return _info(binary, answer)


def claimed(binary: Binary) -> ProviderInfo | None:
    """Return what `binary` says of itself according to the lock file, which nothing has verified, or None."""
    return _info(binary, binary.answer) if binary.answer is not None else None


def _probe(binary: Binary, records: MachineRecords | None) -> ProviderInfo:
    found = known(binary, records)
    if found is None:
        answer, certain = ask(binary, records=records)
        if certain:
            _check_locked(binary, answer)
        found = _info(binary, answer)
    return found


def _check_locked(binary: Binary, answer: Mapping[str, Any]) -> None:
    """Raise DiagnosticsError if the lock file has another answer of a provider than the provider has given."""
    if binary.answer is not None and not _same(binary.answer, answer):
        detail = (
            f"The probe of {binary.source.value} in the lock file differs from what the provider says of itself. Its "
            "digest is the locked one, so the probe was edited. To record the provider's own answer, run: dstream init"
        )
        raise DiagnosticsError(error("Lock file conflict", detail))


def _same(one: object, other: object) -> bool:
    """Return whether two JSON values are equal; the lock file has no difference between 1 and 1.0."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        return one == other and isinstance(one, bool) == isinstance(other, bool)
    return type(one) is type(other) and one == other


def ask(binary: Binary, *, records: MachineRecords | None = None) -> tuple[Mapping[str, Any], bool]:
    """Start a provider and return its answer to the probe as it is, `{"protocol": 1}` where it has none.

    The second value tells whether that is certain: one that was slow, or crashed, may answer the next time.
    """
    environment = provider_environment(binary.source.env, DSTREAM_PROBE="1")
    environment.pop("DSTREAM_FAULT", None)  # faults are about sessions
    process = begin_binary(binary, environment=environment).result()
    timeout = PROBE_SECONDS if binary.container is None else _IMAGE_SECONDS
    conversation = converse(
        process, b"", timeout=timeout, redactor=Redactor(), go_on=lambda line: _is_answer(decode_object(line))
    )
    first = conversation.lines[0] if conversation.lines else conversation.rest
    found = decode_object(first)
    if found is not None and _is_answer(found) and not conversation.timed_out:
        form = found
    elif first.startswith(_ANSWER):
        raise garbage(binary.name, "a complete answer to the probe", first, Redactor(), conversation.tail)
    else:
        form = {"protocol": 1}
    _info(binary, form)
    certain = (
        form["protocol"] >= PROTOCOL
        or not (conversation.timed_out or (conversation.exit_code or 0) < 0)
        or conversation.stopped
    )
    if certain:
        _record(binary, records, form)
    return form, certain


def _is_answer(form: Mapping[str, Any] | None) -> bool:
    """Return whether a first line is the answer of version 2 or later."""
    if form is None:
        return False
    protocol = form.get("protocol")
    return isinstance(protocol, int) and protocol >= PROTOCOL and isinstance(form.get("provider"), dict)


def _info(binary: Binary, form: Mapping[str, Any]) -> ProviderInfo:
    if form["protocol"] < PROTOCOL:
        return ProviderInfo(1, binary.name, "", frozenset({"input", "output"}), digest=binary.digest)
    provider = form["provider"]
    schema = form.get("schema") or {}
    try:
        require_supported(schema.get("config"), "the schema of the configuration")
        resources = {
            name: parse_schema(name, each)
            for name, each in (schema.get("resources") or {}).items()
            if isinstance(each, dict)
        }
        return ProviderInfo(
            2,
            str(provider.get("name") or binary.name),
            str(provider.get("version") or ""),
            frozenset(str(each) for each in form.get("roles") or ()),
            frozenset(str(each) for each in form.get("capabilities") or ()),
            schema.get("config"),
            resources,
            binary.digest,
        )
    except (ValueError, TypeError, AttributeError) as problem:
        raise DiagnosticsError(failure("Malformed provider description", f"{binary.name}: {problem}")) from problem


def recorded_answer(binary: Binary, records: MachineRecords | None) -> dict[str, Any] | None:
    """Return the answer that this machine has recorded for the content of `binary`, or None."""
    raw = records.read(_KIND, _record_name(binary)) if records is not None else None
    kept = decode_object(raw) if raw is not None else None
    return kept if kept is not None and isinstance(kept.get("protocol"), int) else None


def _record(binary: Binary, records: MachineRecords | None, answer: Mapping[str, Any]) -> None:
    """Keep an answer. A machine that cannot keep any asks each time."""
    if records is not None:
        records.write(_KIND, _record_name(binary), encode(answer))


def _record_name(binary: Binary) -> str:
    """Return what an answer depends on: the content, and for a program on this machine also its place."""
    place = binary.argv[0] if binary.source.kind in ("path", "name") else ""
    return f"{_FORMAT} {binary.digest} {place}"
