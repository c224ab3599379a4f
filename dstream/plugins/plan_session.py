"""Plan session: one provider process that answers `plan` for every task that uses it in one role.

For providers with the capability `plans_many`. Threads ask and wait; one thread of the session reads and writes. If the
process ends or breaks the protocol, each open request is sent again to a process of its own (`derive`), so that one
task cannot make the plan of another fail, and an error quotes the process that caused it.
"""

from __future__ import annotations

import threading
import time

from dstream.diagnostics import DiagnosticsError
from dstream.plugins.binary import Binary
from dstream.plugins.derivation import Derivation, PlanAnswer, PlanRequest
from dstream.plugins.derive import DERIVE_SECONDS, derive
from dstream.plugins.errors import failure, hung
from dstream.plugins.pipe_loop import Exchange
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.process import begin_binary
from dstream.plugins.provider_log import note
from dstream.plugins.redact import Redactor
from dstream.plugins.session_options import START_SECONDS
from dstream.plugins.wire import PROTOCOL, decode_object, encode

PLANS_MANY = "plans_many"
"""The capability of a provider whose process answers `plan` many times."""
MAX_IN_FLIGHT = 16
"""The number of requests without an answer at the same time."""
_END_SECONDS = 5.0


class _Open:
    """A request without an answer yet; neither a result nor an error means that the process ended before it."""

    __slots__ = ("answer", "answered", "deadline", "error", "extra", "result")

    def __init__(self, answer: PlanAnswer, deadline: float, extra: float) -> None:
        self.answer, self.deadline, self.extra = answer, deadline, extra
        self.answered = threading.Event()
        self.result: Derivation | None = None
        self.error: DiagnosticsError | None = None


class _Ended(Exception):
    """The process is of no more use."""


class PlanSession:
    """The process that plans for one provider in one role. Starting it does not wait."""

    def __init__(self, binary: Binary, info: ProviderInfo, role: str, timeout: float = DERIVE_SECONDS) -> None:
        """Start the process; an answer may take `timeout` seconds."""
        self._binary, self._info, self._role, self._timeout = binary, info, role, timeout
        self._redactor = Redactor()
        self._room = threading.Semaphore(MAX_IN_FLIGHT)
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._next = 1
        self._closing = self._killed = self._over = False
        self._unsent: list[bytes] = []
        self._exchange: Exchange | None = None
        self._starting = begin_binary(binary)
        self._thread = threading.Thread(target=self._run, name=f"plans {binary.name}", daemon=True)
        self._thread.start()

    def derive(self, request: PlanRequest) -> Derivation:
        """Ask and wait, from any thread; raise DiagnosticsError if the answer is anything but complete or deferred."""
        self._redactor.learn(request.redact)
        with self._room:
            sent = self._send(request)
            if sent is not None:
                sent.answered.wait()
        if sent is not None and sent.error is not None:
            raise sent.error
        if self._killed:
            raise DiagnosticsError(failure("Provider killed", f"{self._binary.name} was stopped immediately."))
        if sent is not None and sent.result is not None:
            return sent.result
        return derive(self._binary, self._info, self._role, request, timeout=self._timeout)

    def close(self) -> None:
        """End the process, which has nothing left to answer; kill it when it does not end."""
        self._closing = True
        self._wake()
        self._thread.join(START_SECONDS)

    def kill(self) -> None:
        """End the process immediately."""
        self._closing = self._killed = True
        if self._exchange is not None:
            self._exchange.process.kill()
        self._wake()

    def _send(self, request: PlanRequest) -> _Open | None:
        """Send a request; return None if the process has ended."""
        sent = _Open(PlanAnswer(self._binary.name, self._redactor), float("inf"), request.extra_seconds)
        with self._lock:
            if self._closing:
                problem = failure("Provider session closed", f"{self._binary.name} takes no more requests.")
                raise DiagnosticsError(problem)
            if self._over:
                return None
            number, self._next = self._next, self._next + 1
            self._open[number] = sent
            self._unsent.append(encode({"id": number, "command": "plan", **request.members()}))
        self._wake()
        return sent

    def _wake(self) -> None:
        if self._exchange is not None:
            self._exchange.wake()

    def _run(self) -> None:
        exchange = None
        try:
            exchange = self._exchange = Exchange(self._starting.result(), self._redactor)
            opening = {"command": "serve", "protocol": PROTOCOL, "role": self._role, "config": {}}
            exchange.send(encode(opening))
            self._await_ready(exchange)
            while not (self._closing and not self._open):
                self._serve(exchange)
            exchange.finish()
        except Exception as problem:  # noqa: BLE001 - whoever waits is answered by a process of its own
            if not self._closing:
                note("info", self._binary.name, f"plans each task in a process of its own: {problem}")
        finally:
            with self._lock:
                self._over = True
                left = list(self._open.values())
                self._open.clear()
            for request in left:
                request.answered.set()
            if exchange is not None:
                exchange.close(_END_SECONDS if self._closing else 0.0)

    def _await_ready(self, exchange: Exchange) -> None:
        until = time.monotonic() + START_SECONDS
        while (left := until - time.monotonic()) > 0:
            for line in exchange.step(left):
                if (decode_object(line) or {}).get("status") == "ready":
                    return
                raise _Ended("it did not answer the opening line with ready")
            if exchange.ended or self._closing:
                break
        raise _Ended("it was not ready")

    def _serve(self, exchange: Exchange) -> None:
        with self._lock:
            unsent, self._unsent = self._unsent, []
            now = time.monotonic()
            for request in self._open.values():
                request.deadline = min(request.deadline, now + self._timeout + request.extra)
            deadline = min((each.deadline for each in self._open.values()), default=float("inf"))
        if unsent:
            exchange.put(b"".join(unsent))
        if deadline <= now:
            self._overdue(exchange, now)
        for line in exchange.step(deadline - now):
            if line.strip():
                self._receive(line)
        if exchange.ended or exchange.overlong:
            raise _Ended("it closed its standard output" if exchange.ended else "it wrote a line that is too long")

    def _receive(self, line: bytes) -> None:
        form = decode_object(line)
        request = self._open.get(form["id"]) if form is not None and isinstance(form.get("id"), int) else None
        if form is None or request is None:
            raise _Ended("it wrote a line that answers no request")
        try:
            request.result = request.answer.add(form)
        except DiagnosticsError as problem:
            request.error = problem
        except ValueError as problem:
            raise _Ended(f"it wrote a line that is not well formed ({problem})") from None
        if request.result is not None or request.error is not None:
            with self._lock:
                del self._open[form["id"]]
            request.answered.set()

    def _overdue(self, exchange: Exchange, now: float) -> None:
        waiting, name = 'the answer to "plan"', self._binary.name
        error = hung(name, waiting, self._timeout, exchange.rest, self._redactor, exchange.tail)
        for request in self._open.values():
            if request.deadline <= now:
                request.error = error
        raise _Ended(f"it did not answer within {self._timeout:g} s")
