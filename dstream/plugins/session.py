"""ResourceSession: one provider process that answers requests about its objects, many at a time.

Requests may come from any thread; up to `max_in_flight` are in flight, the others wait. One thread per session reads,
writes and watches the clock, and calls back with each answer; a callback must not block.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.plugins.binary import Binary
from dstream.plugins.errors import died, failure, garbage, hung
from dstream.plugins.pipe_loop import Exchange
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.process import begin_binary, describe_exit
from dstream.plugins.provider_log import has_listeners, note
from dstream.plugins.redact import Redactor
from dstream.plugins.request import Answer, Request, parse_answer, write_request
from dstream.plugins.request_secrets import may_tell, secrets_received, secrets_sent
from dstream.plugins.session_options import START_SECONDS, SessionOptions
from dstream.plugins.wire import PROTOCOL, complaints, decode_object, encode

REQUEST_SECONDS = 600.0
"""A request that names no timeout of its own."""
GRACE_SECONDS = 30.0
"""How much longer than a request's timeout its answer may take."""
_TERMINATION = 5.0
_READY = "it was ready"

Done = Callable[[Answer], None]
DEFAULT_OPTIONS = SessionOptions()


class _Outstanding:
    __slots__ = ("deadline", "done", "progress", "request")

    def __init__(self, request: Request, done: Done, progress: Done | None) -> None:
        self.request, self.done, self.progress = request, done, progress
        self.deadline = float("inf")


class ResourceSession:
    """The process that serves one provider configuration. Starting it does not wait."""

    def __init__(
        self,
        binary: Binary,
        info: ProviderInfo,
        config_json: Mapping[str, Any],
        options: SessionOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Start the process."""
        self.name = options.name or binary.name
        self._options = options
        self._program = binary.name
        self._redactor = Redactor(options.redact)
        self._schemas = info.resources
        self._opening = encode({"command": "serve", "protocol": PROTOCOL, "role": "resource", "config": config_json})
        self._lock = threading.Lock()
        self._waiting: deque[_Outstanding] = deque()
        self._flying: dict[int, _Outstanding] = {}
        self._next = 1
        self._closing = False
        self._killed = False
        self._served = False
        self._broken: tuple[Diagnostic, ...] | None = None
        self._exchange: Exchange | None = None
        self._ready = threading.Event()
        self._early: list[bytes] = []
        self._unnoted: list[str] = []
        """Its stderr while it may be about to print a secret, which the redactor must receive first."""
        self._starting = begin_binary(binary, options.pass_fds)
        self._thread = threading.Thread(target=self._run, name=f"session {self.name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process, once it runs."""
        exchange = self._exchange
        return exchange.process.pid if exchange is not None else None

    @property
    def died(self) -> bool:
        """Whether the process was ready and then ended unexpectedly; another one may do better."""
        return self._served and self._broken is not None and not self._closing and not self._killed

    def ready(self) -> None:
        """Wait until the provider is ready; raise DiagnosticsError if it will never be."""
        self._ready.wait()
        if self._broken is not None:
            raise DiagnosticsError(self._broken)

    def submit(self, request: Request, done: Done, progress: Done | None = None) -> None:
        """Send a request when there is room; `done` receives the final answer, `progress` the messages before it.

        What was not sent, because the process had ended or `close` was called, is answered with an error that is no
        crash: the provider has surely done nothing about it.
        """
        self.submit_all([(request, done)], progress)

    def submit_all(self, requests: Sequence[tuple[Request, Done]], progress: Done | None = None) -> None:
        """Do what `submit` does with several requests, which travel together as far as there is room."""
        for request, _ in requests:
            sent = set(secrets_sent(request, self._schemas))
            if sent:
                within = self._options.within
                self._redactor.learn(sent | within(sent) if within is not None else sent)
        items = [_Outstanding(request, done, progress) for request, done in requests]
        with self._lock:
            refused = self._broken
            if refused is None and self._closing:
                refused = (failure("Provider session closed", f"{self.name} takes no more requests."),)
            if refused is None:
                self._waiting.extend(items)
        if refused is None:
            self._wake()
            return
        for item in items:
            item.done(_unsent(refused))

    def ask(self, request: Request) -> Answer:
        """Send a request and wait for its answer. Not to be called in a callback."""
        answers: SimpleQueue[Answer] = SimpleQueue()
        self.submit(request, answers.put)
        return answers.get()

    def cancel(self) -> None:
        """Ask the provider to cancel outstanding requests; those that were not sent are answered with an error."""
        with self._lock:
            flying, waiting = list(self._flying), list(self._waiting)
            self._waiting.clear()
            exchange = self._exchange
        for item in waiting:
            item.done(_unsent((failure("Cancelled", f"{self.name} was not asked."),)))
        if exchange is not None and self._ready.is_set():
            exchange.send(b"".join(encode({"id": number, "command": "cancel"}) for number in flying))

    def kill(self) -> None:
        """Kill the process and its children; outstanding requests are answered as after a crash."""
        self._killed = True
        exchange = self._exchange
        if exchange is not None:
            exchange.process.kill()
        self._wake()

    def close(self, timeout: float = START_SECONDS) -> None:
        """Let the provider finish outstanding requests, then end it; kill it if it still runs after `timeout`."""
        with self._lock:
            self._closing = True
        self._wake()
        if threading.current_thread() is self._thread:
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            self.kill()
            self._thread.join(_TERMINATION)

    def _wake(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.wake()

    def _run(self) -> None:
        try:
            process = self._starting.result()
            if self._options.on_start is not None:
                self._options.on_start(process.pid, process.started)
        except Exception as problem:  # noqa: BLE001 - it becomes the answer to what is outstanding
            self._fail(_diagnostics(problem))
            return
        exchange = self._exchange = Exchange(process, self._redactor, self._on_stderr)
        try:
            if self._killed:
                raise DiagnosticsError(failure("Provider killed", f"{self.name} was stopped immediately."))
            exchange.send(self._opening)
            self._await_ready(exchange)
            self._served = True
            self._ready.set()
            self._serve(exchange)
        except Exception as problem:  # noqa: BLE001 - as above
            self._fail(_diagnostics(problem))
        finally:
            exchange.close()
            self._note_all()
            self._fail((failure("Provider session closed", f"{self.name} takes no more requests."),))

    def _await_ready(self, exchange: Exchange) -> None:
        until = time.monotonic() + self._options.start_timeout
        while True:
            left = until - time.monotonic()
            if left <= 0:
                exchange.close()
                seconds = self._options.start_timeout
                raise hung(self._program, "being ready", seconds, exchange.rest, self._redactor, exchange.tail)
            lines = [line for line in exchange.step(left) if line.strip()]
            if lines:
                self._opened(exchange, lines[0])
                self._early = lines[1:]
                return
            if exchange.ended or exchange.overlong:
                raise self._death(exchange, _READY)

    def _opened(self, exchange: Exchange, line: bytes) -> None:
        form = decode_object(line)
        status = form.get("status") if form is not None else None
        if form is not None and status == "error":
            raise DiagnosticsError([each.diagnostic for each in complaints(form, self._redactor, self._program)])
        if status != "ready":
            exchange.close(0.2)
            raise garbage(self._program, "the answer to its opening line", line, self._redactor, exchange.tail)

    def _death(self, exchange: Exchange, waiting_for: str) -> DiagnosticsError:
        code = exchange.close(_TERMINATION)
        if self._killed:
            return DiagnosticsError(failure("Provider killed", f"{self.name} was stopped immediately."))
        return died(self._program, waiting_for, code, exchange.rest, self._redactor, exchange.tail)

    def _serve(self, exchange: Exchange) -> None:
        while True:
            self._send_waiting(exchange)
            with self._lock:
                finished = self._closing and not self._waiting and not self._flying
                deadline = min((item.deadline for item in self._flying.values()), default=float("inf"))
            if finished:
                self._end(exchange)
                return
            left = deadline - time.monotonic()
            if left <= 0:
                self._overdue(exchange)
            early, self._early = self._early, []
            for line in early or exchange.step(left):
                if line.strip():
                    self._answered(exchange, line)
            if exchange.ended or exchange.overlong:
                raise self._death(exchange, self._unanswered())

    def _send_waiting(self, exchange: Exchange) -> None:
        out = []
        with self._lock:
            while self._waiting and len(self._flying) < self._options.max_in_flight:
                item = self._waiting.popleft()
                number, self._next = self._next, self._next + 1
                item.deadline = time.monotonic() + (item.request.timeout or REQUEST_SECONDS) + GRACE_SECONDS
                self._flying[number] = item
                out.append(encode(write_request(number, item.request)))
        if out:
            exchange.put(b"".join(out))

    def _answered(self, exchange: Exchange, line: bytes) -> None:
        form = decode_object(line)
        number = form.get("id") if form is not None else None
        if form is None or not isinstance(number, int):
            exchange.close()
            raise garbage(self._program, "an answer with an id", line, self._redactor, exchange.tail)
        with self._lock:
            item = self._flying.get(number)
        if item is None:
            return  # an answer to what was given up, or to nothing
        answer = parse_answer(form, self._redactor, self._program)
        self._redactor.learn(secrets_received(item.request, answer, self._schemas))
        if answer.status == "progress":
            if item.progress is not None:
                item.progress(answer)
            return
        with self._lock:
            self._flying.pop(number, None)
        self._note()
        item.done(answer)

    def _on_stderr(self, line: str) -> None:
        if self._options.log is not None:
            self._options.log(line)
        if has_listeners():
            self._unnoted.append(line)
            self._note()

    def _note(self) -> None:
        if self._unnoted:
            with self._lock:
                withheld = any(may_tell(item.request, self._schemas) for item in self._flying.values())
            if not withheld:
                self._note_all()

    def _note_all(self) -> None:
        lines, self._unnoted = self._unnoted, []
        for line in lines:
            note("info", self.name, self._redactor.text(line))

    def _overdue(self, exchange: Exchange) -> None:
        exchange.process.terminate()
        exchange.process.wait(_TERMINATION)
        late = [item for item in self._flying.values() if item.deadline <= time.monotonic()]
        what = ", ".join(sorted({_describe(item.request) for item in late})[:3])
        seconds = min((item.request.timeout or REQUEST_SECONDS) + GRACE_SECONDS for item in late)
        exchange.close()
        raise hung(self._program, f"an answer to {what}", seconds, exchange.rest, self._redactor, exchange.tail)

    def _unanswered(self) -> str:
        with self._lock:
            waiting = sorted({_describe(item.request) for item in self._flying.values()})
        if not waiting:
            return "its standard input was closed"
        return f"an answer to {', '.join(waiting[:3])}{' and others' if len(waiting) > 3 else ''}"

    def _end(self, exchange: Exchange) -> None:
        exchange.finish()
        until = time.monotonic() + START_SECONDS
        while not exchange.ended and time.monotonic() < until:
            exchange.step(until - time.monotonic())
        code = exchange.close(_TERMINATION)
        if code != 0 and self._options.log is not None and not self._killed:
            self._options.log(f"{self._program} {describe_exit(code)} after its work was done")

    def _fail(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        with self._lock:
            if self._broken is None:
                self._broken = diagnostics
            broken = self._broken
            sent, unsent = list(self._flying.values()), list(self._waiting)
            self._flying.clear()
            self._waiting.clear()
        self._ready.set()
        now = time.monotonic()
        for item in sent:
            late = item.request.timeout is not None and item.deadline - GRACE_SECONDS <= now
            item.done(_crash(broken, late=late))
        for item in unsent:
            item.done(_unsent(broken))


def _describe(request: Request) -> str:
    return f"{request.command} {request.type} {request.key}".rstrip() if request.type else request.command


def _diagnostics(problem: Exception) -> tuple[Diagnostic, ...]:
    if isinstance(problem, DiagnosticsError):
        return problem.diagnostics
    return (failure("Provider session failure", f"{type(problem).__name__}: {problem}"),)


def _unsent(diagnostics: tuple[Diagnostic, ...]) -> Answer:
    return Answer("error", diagnostics=diagnostics, error_class="fatal", sent=False)


def _crash(diagnostics: tuple[Diagnostic, ...], *, late: bool) -> Answer:
    return Answer("error", diagnostics=diagnostics, error_class="fatal", crashed=True, late=late)
