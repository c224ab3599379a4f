"""Derive: queries one side of a task in a process of its own for its objects and, for an input, its streams."""

from __future__ import annotations

from dstream.plugins.binary import Binary
from dstream.plugins.derivation import Derivation, PlanAnswer, PlanRequest
from dstream.plugins.errors import died, garbage, hung
from dstream.plugins.one_shot import Conversation, converse
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.process import begin_binary
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import PROTOCOL, decode_object, encode

DERIVE_SECONDS = 30.0
_WAITING = 'the answer to "plan"'


def derive(
    binary: Binary, info: ProviderInfo, role: str, request: PlanRequest, *, timeout: float = DERIVE_SECONDS
) -> Derivation:
    """Ask and wait; raise DiagnosticsError if the answer is anything but complete or deferred.

    `info` must be of version 2: a version 1 provider is never asked.
    """
    if info.protocol < PROTOCOL:
        raise ValueError(f"{binary.name} speaks version 1, which has no derivation")
    opening = {"command": "plan", "protocol": PROTOCOL, "role": role, **request.members()}
    redactor = Redactor(request.redact)
    conversation = converse(
        begin_binary(binary).result(), encode(opening), timeout=timeout + request.extra_seconds, redactor=redactor
    )
    return _parse(binary.name, conversation, timeout, redactor)


def _parse(name: str, conversation: Conversation, timeout: float, redactor: Redactor) -> Derivation:
    if conversation.timed_out:
        raise hung(name, _WAITING, timeout, conversation.rest, redactor, conversation.tail)
    answer = PlanAnswer(name, redactor)
    for line in conversation.lines:
        if not line.strip():
            continue
        form = decode_object(line)
        if form is None:
            raise garbage(name, "part of " + _WAITING, line, redactor, conversation.tail)
        try:
            found = answer.add(form)
        except ValueError as problem:
            raise garbage(name, f"well formed ({problem})", line, redactor, conversation.tail) from None
        if found is not None:
            if conversation.exit_code != 0:
                raise died(name, "ending with exit code 0", conversation.exit_code, b"", redactor, conversation.tail)
            return found
    if conversation.overlong:
        raise garbage(name, "as short as a line may be", conversation.rest, redactor, conversation.tail)
    raise died(name, f"the end of {_WAITING}", conversation.exit_code, conversation.rest, redactor, conversation.tail)
