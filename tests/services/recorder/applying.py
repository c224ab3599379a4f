"""A process that applies, or destroys, a world's configuration, and kills itself at a named point.

Called with `FOLDER apply|destroy POINT PASSAGE`, it dies at the PASSAGE-th time that it comes to POINT, one of
    intent      an intent is durable, its provider has not been asked
    asked       a provider was just asked for a change
    answered    a provider has answered, and nothing is recorded
    recorded    a result is durable, nothing that depends on it has begun
    finishing   everything is recorded, the state is not written
    finished    the state is written, the lock is not released
    recovering  a change of an earlier process is about to be looked up
    recovered   what became of it is durable
    mid_write   half of what a file is to hold is written (local state: journal, metadata, state)
    written     the file is written whole, and is not in its place
    mid_request half of a request to the blob service that changes something is sent
    unanswered  the blob service has answered such a request, and nobody has read the answer
    mid_state, state_written, state_unanswered
                the same when it is the state itself that is written, wherever it is
    never
With CLOCK_FILE in the environment, the clock of its lease is ahead by the seconds that are in that file.
"""

import http.client
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dstream.engine.apply import recovery
from dstream.engine.apply.apply import ApplyOptions, apply
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.setup.operation import OperationInputs, open_operation
from dstream.plugins import Request, ResourceSession
from dstream.stopping import Stop
from dstream_state import Intent, Result, local
from dstream_state.backend_impl import StoredBackend
from dstream_state.clock import boot_seconds
from dstream_state.state_lock import StoredHeld
from tests.services.recorder.world import Told

POINT, PASSAGE = sys.argv[3], int(sys.argv[4])
_passed = 0


def passing(point: str) -> None:
    """Die, if this is where."""
    global _passed
    if point == POINT:
        _passed += 1
        if _passed == PASSAGE:
            os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, before: Callable[..., None], after: Callable[..., None]) -> None:
    """Have two functions called around a method, with its arguments."""
    original = getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        before(*arguments)
        result = original(self, *arguments, **named)
        after(*arguments)
        return result

    setattr(owner, name, wrapped)


def holds(kind: type, point: str) -> Callable[..., None]:
    """Return what passes a point for a batch of records that has one of a kind."""

    def check(records: Any) -> None:
        for record in records:
            if isinstance(record, kind):
                passing(point)

    return check


def both(first: Callable[..., None], second: Callable[..., None]) -> Callable[..., None]:
    """Return a function that calls both."""

    def call(*arguments: Any) -> None:
        first(*arguments)
        second(*arguments)

    return call


def asked(requests: Sequence[tuple[Request, Any]], *_: Any) -> None:
    """Pass `asked` for each request that changes something."""
    for request, _done in requests:
        if request.command in ("init", "destroy"):
            passing("asked")


def nothing(*_: Any) -> None:
    """Do nothing."""


around(StoredHeld, "append", holds(Result, "answered"), both(holds(Intent, "intent"), holds(Result, "recorded")))
around(StoredHeld, "finish", lambda *_: passing("finishing"), lambda *_: passing("finished"))
around(ResourceSession, "submit_all", nothing, asked)
around(recovery._InterruptedChange, "resolve", lambda: passing("recovering"), nothing)
around(Told, "recovered", lambda *_: passing("recovered"), nothing)


def is_state(content: Any) -> bool:
    """Tell whether this is the state document."""
    return isinstance(content, bytes) and content.startswith(b'{"format_version"')


def dying(*points: str) -> bool:
    """Tell whether this is where it dies."""
    return POINT in points and _passed + 1 == PASSAGE


def half_written(fd: int, content: bytes) -> None:
    """Write as the local backend does, and die halfway, if this is where."""
    halfway = ("mid_write", "mid_state") if is_state(content) else ("mid_write",)
    if dying(*halfway):
        os.write(fd, content[: len(content) // 2])
    for point in halfway:
        passing(point)
    whole_write(fd, content)
    passing("written")
    if is_state(content):
        passing("state_written")


whole_write = local.write_all
local.write_all = half_written


def half_sent(self: http.client.HTTPConnection, data: Any) -> None:
    """Send as any client of HTTP does, and die halfway, if this is where."""
    global sent_state
    if self._method in CHANGING:  # type: ignore[attr-defined]  # since there was HTTP in Python
        sent_state = is_state(data)
        halfway = ("mid_request", "mid_state") if sent_state else ("mid_request",)
        if dying(*halfway) and isinstance(data, bytes):
            whole_send(self, data[: len(data) // 2])
        for point in halfway:
            passing(point)
    whole_send(self, data)


def unread(self: http.client.HTTPConnection, *arguments: Any) -> Any:
    """Die when the answer to a change is there, if this is where."""
    points = ("unanswered", "state_unanswered") if sent_state else ("unanswered",)
    if POINT in points and self._method in CHANGING:  # type: ignore[attr-defined]  # as above
        select.select([self.sock], [], [], 20)
        passing(POINT)
    return answer(self, *arguments)


sent_state = False
CHANGING = ("PUT", "POST", "DELETE")
whole_send, answer = http.client.HTTPConnection.send, http.client.HTTPConnection.getresponse
http.client.HTTPConnection.send = half_sent  # type: ignore[method-assign]  # that is what this program is for
http.client.HTTPConnection.getresponse = unread  # type: ignore[method-assign]  # as above

if "CLOCK_FILE" in os.environ:
    ahead = Path(os.environ["CLOCK_FILE"])
    StoredBackend.__init__.__kwdefaults__["clock"] = lambda: boot_seconds() + float(ahead.read_text())

if __name__ == "__main__":
    operation = open_operation(OperationInputs(config=Path(sys.argv[1])))
    options = ApplyOptions(PlanOptions(destroy=sys.argv[2] == "destroy"), lock_timeout=20)
    outcome = apply(operation, options, lambda plan: True, Told(), Stop())
    sys.exit(1 if outcome.diagnostics else 0)
