"""Delivery of a few envelopes to an output in a session of its own, as `dstream dlq replay` needs it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstream.plugins.binary import Binary
from dstream.plugins.converse import converse
from dstream.plugins.environment import provider_environment
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.process import begin
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import PROTOCOL, decode_object, encode

DELIVERY_SECONDS = 300.0
_CHECKPOINT = b'{"checkpoint":{},"n":1}\n'
_END = b'{"end":true}\n'


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the output said."""

    confirmed: bool
    refused: tuple[Any, ...]
    """The envelopes that it refused, as JSON values."""
    tail: str
    """The redacted end of its stderr, or its diagnostics."""


def deliver(
    binary: Binary,
    info: ProviderInfo,
    envelopes: Sequence[bytes],
    *,
    task: str,
    config_json: Mapping[str, Any],
    streams: Iterable[Mapping[str, Any]] = (),
    redact: Iterable[str] = (),
) -> Delivered:
    """Start the output, give it the envelopes and end; of version 1, a clean exit is taken as confirmation."""
    opening: dict[str, Any] = {"command": "run", "config": config_json}
    if info.protocol >= PROTOCOL:
        opening |= {"protocol": PROTOCOL, "role": "output", "task": task, "acks": True, "streams": list(streams)}
    lines = [encode(opening), *(envelope.rstrip(b"\n") + b"\n" for envelope in envelopes)]
    if info.protocol >= PROTOCOL:
        lines += [_CHECKPOINT, _END]
    redactor = Redactor(redact)
    process = begin(binary.name, binary.argv, provider_environment(binary.source.env)).result()
    said = converse(process, b"".join(lines), timeout=DELIVERY_SECONDS, redactor=redactor)
    confirmed = info.protocol < PROTOCOL and said.exit_code == 0
    refused = []
    problems = []
    for line in said.lines:
        form = decode_object(line) or {}
        if "checkpoint" in form and form.get("n") == 1:
            confirmed = True
        elif isinstance(form.get("reject"), dict):
            refused.append(form["reject"].get("envelope"))
        elif form.get("status") == "error":
            problems.append(redactor.text(json.dumps(form.get("diagnostics") or form.get("message"), ensure_ascii=False)))
    return Delivered(confirmed, tuple(refused), "\n".join([*problems, str(said.tail)]))
