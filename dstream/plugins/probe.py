"""Probe: queries name, version, roles and schemas of a provider, once per content of its executable.

With `DSTREAM_PROBE=1` and an empty stdin, a version 2 provider prints one line and exits. Anything else within five
seconds means version 1: some old inputs start streaming immediately, so the first line that is no answer ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from dstream.diagnostics import Diagnostic, DiagnosticsError
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

PROBE_SECONDS = 5.0
_IMAGE_SECONDS = 60.0
"""An engine may take its time to start and to remove a container."""
_FORMAT = 1
_ANSWER = b'{"protocol":2'


class ProviderInfo(Struct, frozen=True):
    """What a provider says of itself. Of a version 1 provider nothing is known but the name of its executable."""

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


def probe(binary: Binary, *, cache_dir: Path | None = None) -> ProviderInfo:
    """Return what `binary` is; raise DiagnosticsError if it cannot be started or answers nonsense."""
    return begin_probe(binary, cache_dir=cache_dir).result()


def probe_many(binaries: Iterable[Binary], *, cache_dir: Path | None = None) -> list[ProviderInfo]:
    """Probe several providers together; raise DiagnosticsError with all that is wrong."""
    pending: dict[tuple[str, ...], Pending[ProviderInfo]] = {}
    ordered = []
    for binary in binaries:
        if binary.argv not in pending:
            pending[binary.argv] = begin_probe(binary, cache_dir=cache_dir)
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


def begin_probe(binary: Binary, *, cache_dir: Path | None = None) -> Pending[ProviderInfo]:
    """Start a probe without waiting for it."""
    return Pending(lambda: _probe(binary, cache_dir), f"probe {binary.name}")


def known(binary: Binary, cache_dir: Path | None) -> ProviderInfo | None:
    """Return what `binary` has said of itself before, by the lock file or the cache; nothing is started."""
    answer = binary.answer or _read(binary, cache_dir)
    return _info(binary, answer) if answer is not None else None


def _probe(binary: Binary, cache_dir: Path | None) -> ProviderInfo:
    return known(binary, cache_dir) or _info(binary, ask(binary, cache_dir=cache_dir)[0])


def ask(binary: Binary, *, cache_dir: Path | None = None) -> tuple[Mapping[str, Any], bool]:
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
        _write(binary, cache_dir, form)
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


def _entry(binary: Binary, cache_dir: Path) -> Path:
    return cache_dir / "probe" / f"{binary.digest.removeprefix('sha256:')}.json"


def _read(binary: Binary, cache_dir: Path | None) -> dict[str, Any] | None:
    if cache_dir is None:
        return None
    try:
        kept = json.loads(_entry(binary, cache_dir).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("format") != _FORMAT:
        return None
    answer = kept.get("answer")
    return answer if isinstance(answer, dict) and isinstance(answer.get("protocol"), int) else None


def _write(binary: Binary, cache_dir: Path | None, answer: Mapping[str, Any]) -> None:
    """Keep an answer. A cache that cannot be written costs time, nothing else."""
    if cache_dir is None:
        return
    entry = _entry(binary, cache_dir)
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=entry.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode({"format": _FORMAT, "answer": answer}))
        Path(temporary).replace(entry)
