"""LegacyLifecycle: init, status and destroy of a version 1 output, as one opaque object of the type `V1_LIFECYCLE`.

The object's attributes are what the host gives it (its configuration and the provider's version); the provider
neither reads nor changes them. What it answers to `plan` and `status` is text for the user and never a change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError
from dstream.plugins.binary import Binary
from dstream.plugins.errors import failure
from dstream.plugins.one_shot import Conversation, converse
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.process import ProviderProcess, begin_binary, describe_exit
from dstream.plugins.redact import Redactor
from dstream.plugins.request import Answer, Request
from dstream.plugins.session import DEFAULT_OPTIONS
from dstream.plugins.session_options import SessionOptions
from dstream.plugins.wire import decode_object, encode
from dstream_state import V1_LIFECYCLE

LIFECYCLE_SECONDS = 600.0
_GOOD = frozenset(
    (
        "success", "succeeded", "ok", "ready", "initialized", "initialised", "planned", "destroyed", "completed",
        "complete", "done",
    )
)  # fmt: skip


class LegacyAnswer(Struct, frozen=True):
    """The one object that a version 1 lifecycle command answers with; names and words were in any case."""

    succeeded: bool
    status: str
    resources: tuple[str, ...]
    text: str
    """Message or error."""


class LegacyLifecycle:
    """The same interface as `ResourceSession`, with a process per command."""

    def __init__(
        self,
        binary: Binary,
        info: ProviderInfo,
        config_json: Mapping[str, Any],
        options: SessionOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Start nothing yet. `info` is of a provider that is used as an output: an input only ever gets `run`."""
        self.name = options.name or binary.name
        self._options = options
        self._binary, self._config = binary, config_json
        self._redactor = Redactor(options.redact)
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, ProviderProcess | None] = {}
        self._killed = False

    def ready(self) -> None:
        """Return immediately: there is nothing to wait for."""

    def submit(
        self, request: Request, done: Callable[[Answer], None], progress: Callable[[Answer], None] | None = None
    ) -> None:
        """Run the command in a process of its own; `done` gets the answer from another thread."""
        thread = threading.Thread(target=self._do, args=(request, done), name=f"lifecycle {self.name}", daemon=True)
        with self._lock:
            self._running[thread] = None
        thread.start()

    def submit_all(self, requests: Sequence[tuple[Request, Callable[[Answer], None]]]) -> None:
        """Submit several requests."""
        for request, done in requests:
            self.submit(request, done)

    def cancel(self) -> None:
        """Ask running commands to end (SIGTERM)."""
        for process in self._processes():
            process.terminate()

    def kill(self) -> None:
        """End running commands immediately."""
        self._killed = True
        for process in self._processes():
            process.kill()

    def _processes(self) -> list[ProviderProcess]:
        with self._lock:
            return [process for process in self._running.values() if process is not None]

    def close(self, timeout: float = LIFECYCLE_SECONDS) -> None:
        """Wait for running commands; kill what still runs after `timeout`."""
        for thread in list(self._running):
            if thread is not threading.current_thread():
                thread.join(timeout)
        self.kill()

    def _do(self, request: Request, done: Callable[[Answer], None]) -> None:
        try:
            answer = self._run(request)
        except DiagnosticsError as problem:
            answer = Answer("error", diagnostics=problem.diagnostics, error_class="fatal", crashed=True)
        except Exception as problem:  # noqa: BLE001 - it becomes the answer
            what = failure("Provider session failure", f"{type(problem).__name__}: {problem}")
            answer = Answer("error", diagnostics=(what,), error_class="fatal", crashed=True)
        with self._lock:
            self._running.pop(threading.current_thread(), None)
        done(answer)

    def _run(self, request: Request) -> Answer:
        if request.type and request.type != V1_LIFECYCLE:
            raise DiagnosticsError(
                failure("No such resource type", f"{self.name} speaks version 1 and has no {request.type}.")
            )
        if request.command not in ("init", "destroy", "status", "plan"):
            what = f"{self.name} speaks version 1, which has init, destroy, status and plan, but not {request.command}."
            return Answer("error", diagnostics=(failure("Unsupported provider request", what),), error_class="invalid")
        opening = encode({"command": request.command, "config": self._config})
        process = begin_binary(self._binary, self._options.pass_fds).result()
        with self._lock:
            self._running[threading.current_thread()] = process
        if self._options.on_start is not None:
            self._options.on_start(process.pid, process.started)
        if self._killed:
            process.kill()
        timeout = request.timeout or LIFECYCLE_SECONDS
        conversation = converse(
            process,
            opening,
            timeout=timeout,
            redactor=self._redactor,
            log=self._options.log,
            go_on=lambda line: not _is_data(line),
        )
        return self._understand(request, conversation, timeout)

    def _understand(self, request: Request, conversation: Conversation, timeout: float) -> Answer:
        name, command = self._binary.name, request.command
        if conversation.stopped:
            raise DiagnosticsError(
                failure(
                    "Data stream instead of an answer",
                    f"{name} was killed: it answered {command} with a line of data, so it seems to start its data flow "
                    "whatever it is asked. Its infrastructure cannot be managed through it.",
                    conversation.tail,
                )
            )
        if conversation.timed_out:
            detail = f"{name} was killed: {command} took over {timeout:g} s."
            slow = (failure("No response from provider", detail, conversation.tail),)
            late = request.timeout is not None
            return Answer("error", diagnostics=slow, error_class="fatal", crashed=True, late=late)
        if conversation.exit_code is not None and conversation.exit_code < 0:
            what = f"{name} {describe_exit(conversation.exit_code)} during {command}."
            raise DiagnosticsError(failure("Unexpected provider exit", what, conversation.tail))
        answer = parse_legacy_answer(conversation.text, self._redactor)
        text = "\n".join(filter(None, (answer.text, *answer.resources))) if answer else self._shown(conversation)
        if answer is not None and not answer.succeeded and command in ("init", "destroy"):
            reason = answer.text or "no reason given"
            detail = f"{name} answered {command} with status {answer.status or 'missing'}: {reason}"
            failed = failure(
                "Provider init failure" if command == "init" else "Provider destroy failure",
                detail,
                conversation.tail,
            )
            return Answer("error", diagnostics=(failed,), error_class="fatal", text=text)
        if answer is None and command in ("init", "destroy") and not text:
            text = f"{name} manages no infrastructure."
        known = request.desired if command == "init" else request.prior
        if command == "destroy":
            return Answer("ok", text=text)
        return Answer("ok", identity=request.identity or {}, attributes=known or {}, private=request.private, text=text)

    def _shown(self, conversation: Conversation) -> str:
        return self._redactor.scrub(conversation.text).decode("utf-8", "replace").strip()


def parse_legacy_answer(text: bytes, redactor: Redactor) -> LegacyAnswer | None:
    """Return the answer from the output of a version 1 provider, or None.

    The last object with a status is the answer, because `{"status":"ready"}` may precede it; an object over several
    lines counts too.
    """
    found = [each for each in map(_lowered, text.split(b"\n")) if each is not None and _is_report(each)]
    if not found:
        report = _lowered(text)
        found = [report] if report is not None and _is_report(report) else []
    if not found:
        return None
    form = found[-1]
    status = str(form.get("status") or "")
    problem = form.get("error")
    resources = form.get("resources")
    return LegacyAnswer(
        succeeded=status.strip().lower() in _GOOD if status else not problem,
        status=redactor.text(status),
        resources=tuple(redactor.text(str(each)) for each in resources) if isinstance(resources, list) else (),
        text=redactor.text("\n".join(str(each) for each in (form.get("message"), problem) if each)),
    )


def _lowered(line: bytes) -> dict[str, Any] | None:
    form = decode_object(line)
    return {name.lower(): value for name, value in form.items()} if form is not None else None


def _is_report(form: Mapping[str, Any]) -> bool:
    return "status" in form or "error" in form


def _is_data(line: bytes) -> bool:
    form = _lowered(line)
    return form is not None and "data" in form and not _is_report(form)
