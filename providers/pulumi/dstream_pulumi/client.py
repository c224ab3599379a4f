"""Client: calls a running plugin through `pulumirpc.ResourceProvider`.

grpc and the stubs of the `pulumi` package are imported while the plugin starts. If a plugin dies during a change, this
process exits too, and the engine recovers the change as after any other crash.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dstream_pulumi.engine import Engine
from dstream_pulumi.plugin_errors import to_provider_error
from dstream_pulumi.process import PluginProcess
from dstream_pulumi.struct_values import to_struct
from dstream_sdk import InvalidError, ProviderError, log

_MEGABYTES = 400 * 1024 * 1024
"""Pulumi's limit for the size of a message."""
_GRACE = 20.0
"""Seconds that a response may take beyond the plugin's own timeout."""
_SETUP = 60.0
"""Timeout in seconds of each call that configures a plugin."""
_CHANGES = frozenset({"Create", "Update", "Delete"})
_POLL = 0.5
"""Seconds between checks for cancellation."""
EXIT_OUTCOME_UNKNOWN = 70
"""Exit code if a plugin died during a change."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The optional features that a configured plugin reports."""

    secrets: bool = False
    preview: bool = False


class Client:
    """A running plugin. Safe for concurrent use."""

    def __init__(self, executable: Path) -> None:
        """Start the plugin."""
        self._engine = Engine()
        self._process = PluginProcess(executable, self._engine.address)
        import grpc

        from dstream_pulumi.protos import provider_pb2, provider_pb2_grpc

        self._engine.serve()
        self.messages = provider_pb2
        self._grpc = grpc
        self._name = executable.name
        self._capabilities: Capabilities | None = None
        self.cancelled = False
        """Whether Cancel was called. Many plugins reject all requests after that."""
        self._lock = threading.Lock()
        options = [("grpc.max_receive_message_length", _MEGABYTES), ("grpc.max_send_message_length", _MEGABYTES)]
        self._channel = grpc.insecure_channel(self._process.address(), options=options)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def schema(self) -> str:
        """Return the plugin's schema as JSON text."""
        answer = self.call("GetSchema", self.messages.GetSchemaRequest(version=0), "GetSchema")
        return str(answer.schema)

    def configure(self, urn: str, settings: Mapping[str, Any]) -> Capabilities:
        """Configure the plugin, once. Raises ProviderError if it rejects the settings."""
        with self._lock:
            if self._capabilities is None:
                self._capabilities = self._configure(urn, settings)
            return self._capabilities

    def _configure(self, urn: str, settings: Mapping[str, Any]) -> Capabilities:
        p = self.messages
        try:
            hello = self._stub.Handshake(
                p.ProviderHandshakeRequest(engine_address=self._engine.address, configure_with_urn=True),
                timeout=_SETUP,
            )
            secrets = bool(hello.accept_secrets)
        except self._grpc.RpcError as problem:
            if problem.code() != self._grpc.StatusCode.UNIMPLEMENTED:
                raise self._failed("Handshake", problem) from problem
            secrets = False
        news = to_struct({name: _text(value) for name, value in settings.items()})
        checked = self._optional("CheckConfig", p.CheckRequest(urn=urn, news=news, name="default", type=_type(urn)))
        if checked is not None:
            refuse(checked.failures, "config.settings")
            self._optional("DiffConfig", p.DiffRequest(urn=urn, olds=checked.inputs, news=checked.inputs))
            news = checked.inputs
        package = _type(urn).rpartition(":")[2]
        texts = {f"{package}:config:{name}": _text(value) for name, value in settings.items()}
        answer = self.call(
            "Configure",
            p.ConfigureRequest(
                variables=texts, args=news, acceptSecrets=True, acceptResources=False, sends_old_inputs=True,
                sends_old_inputs_to_delete=True, id="dstream", urn=urn, name="default", type=_type(urn),
            ),
            "Configure",
        )  # fmt: skip
        return Capabilities(secrets or bool(answer.acceptSecrets), bool(answer.supportsPreview))

    def _optional(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=_SETUP)
        except self._grpc.RpcError as problem:
            if problem.code() == self._grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise self._failed(method, problem) from problem

    def call(
        self,
        method: str,
        request: Any,
        what: str,
        *,
        timeout: float | None = None,
        partial: Callable[[Any], ProviderError | None] | None = None,
        cancelled: Callable[[], bool] = _never,
    ) -> Any:
        """Call a method and return its response; `timeout` is in seconds. Raises ProviderError.

        `partial` converts a failed call to an error with the object that exists in spite of it, or None. When
        `cancelled` returns True, the plugin is told to cancel everything it is doing. If a change times out or its
        plugin dies, this process exits, unless `partial` returns an error.
        """
        changes = method in _CHANGES and not getattr(request, "preview", False)
        began = time.monotonic()
        try:
            limit = None if timeout is None else timeout + _GRACE
            return self._wait(getattr(self._stub, method).future(request, timeout=limit), cancelled)
        except self._grpc.RpcError as problem:
            found = partial(problem) if partial is not None else None
            late = timeout is not None and time.monotonic() - began >= timeout
            if found is None and changes and self._outcome_unknown(problem, late):
                failure = f"did not finish {what} within {timeout:.3g} s" if late else f"did not respond to {what}"
                log(f"{self._name} {failure}; the outcome is unknown")
                os._exit(EXIT_OUTCOME_UNKNOWN)
            # After a timeout, plugins often report only how a command ended: "signal: killed".
            over = f" (the {timeout:.3g} s timeout has passed)" if late else ""
            raise found or self._failed(f"{what}{over}", problem) from problem

    def _outcome_unknown(self, problem: Any, late: bool) -> bool:
        """Return whether the outcome of a failed call is unknown, because the plugin died or timed out."""
        code, codes = problem.code(), self._grpc.StatusCode
        if code in (codes.UNAVAILABLE, codes.CANCELLED):
            return self._process.gone()
        gave_up = late and "deadline exceeded" in (problem.details() or "").lower()
        return code == codes.DEADLINE_EXCEEDED or gave_up

    def read(
        self, request: Any, what: str, *, timeout: float | None = None, cancelled: Callable[[], bool] = _never
    ) -> Any:
        """Call Read. Returns None if the plugin does not implement it."""
        try:
            return self.call("Read", request, what, timeout=timeout, cancelled=cancelled)
        except InvalidError as problem:
            cause = problem.__cause__
            if isinstance(cause, self._grpc.RpcError) and cause.code() == self._grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise

    def _wait(self, answer: Any, cancelled: Callable[[], bool]) -> Any:
        cancel_sent = False
        while True:
            try:
                return answer.result(_POLL)
            except self._grpc.FutureTimeoutError:
                if not cancel_sent and cancelled():
                    cancel_sent = True
                    self.cancel()

    def _failed(self, what: str, problem: Any) -> ProviderError:
        if not self._process.alive():
            detail = "\n".join(self._process.tail)
            return ProviderError("Plugin ended", f"{self._name} ended during {what}. {detail}".rstrip())
        return to_provider_error(problem, what)

    @property
    def alive(self) -> bool:
        """Whether the plugin is running."""
        return self._process.alive()

    @property
    def pid(self) -> int:
        """The plugin's process id."""
        return self._process.pid

    def cancel(self) -> None:
        """Tell the plugin to cancel its current operations."""
        from google.protobuf.empty_pb2 import Empty

        self.cancelled = True
        try:
            self._stub.Cancel(Empty(), timeout=_SETUP)
        except self._grpc.RpcError as problem:
            log(f"{self._name}: {problem.details()}")

    def close(self) -> None:
        """Stop the plugin."""
        self._channel.close()
        self._process.end()
        self._engine.close()


def refuse(failures: Any, where: str) -> None:
    """Raise InvalidError if a check reported failures."""
    if failures:
        reasons = "; ".join(f"{each.property}: {each.reason}" if each.property else each.reason for each in failures)
        path = f"{where}.{failures[0].property}" if failures[0].property else where
        raise InvalidError("Property rejected by the plugin", reasons, path=path)


def _text(value: Any) -> str:
    """Return a setting as plugins expect it: a string, or JSON text for any other value."""
    if isinstance(value, str):
        return value
    return json.dumps(value)


def _type(urn: str) -> str:
    return urn.split("::")[2]
