"""Delivery of a few envelopes to an output in a session of its own, as `dstream dlq replay` needs it.

The session is one without acknowledgements: a checkpoint would become the position of the task in an output that
stores checkpoints. What such an output has written is durable when it has read `end` and exits with 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from dstream.plugins.binary import Binary
from dstream.plugins.one_shot import converse
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.process import begin_binary
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import PROTOCOL, decode_object, encode

DELIVERY_SECONDS = 300.0
_END = b'{"end":true}\n'


class Delivered(Struct, frozen=True):
    """The answer of the output."""

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
    """Start the output, give it the envelopes and `end`; a clean exit is the confirmation."""
    opening: dict[str, Any] = {"command": "run", "config": config_json}
    if info.protocol >= PROTOCOL:
        opening |= {"protocol": PROTOCOL, "role": "output", "task": task, "acks": False, "replay": True}
        opening["streams"] = list(streams)
    lines = [encode(opening), *(envelope.rstrip(b"\n") + b"\n" for envelope in envelopes)]
    if info.protocol >= PROTOCOL:
        lines.append(_END)
    redactor = Redactor(redact)
    process = begin_binary(binary).result()
    conversation = converse(process, b"".join(lines), timeout=DELIVERY_SECONDS, redactor=redactor)
    confirmed = conversation.exit_code == 0 and not conversation.timed_out
    refused = []
    problems = []
    for line in conversation.lines:
        form = decode_object(line) or {}
        if isinstance(form.get("reject"), dict):
            refused.append(form["reject"].get("envelope"))
        elif form.get("status") == "error":
            problem = form.get("diagnostics") or form.get("message")
            problems.append(redactor.text(encode(problem).decode().strip()))
    return Delivered(confirmed, tuple(refused), "\n".join([*problems, str(conversation.tail)]))
