"""The resource session: requests in, answers out, in any order.

One thread reads requests, so that the host can write while answers are pending; at most 16 workers handle them. At the
end of the input, outstanding requests are finished.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any

from dstream_sdk.catalog import Catalog
from dstream_sdk.channel import LineReader, Writer, encode, log, unwrap, wrap
from dstream_sdk.errors import HostGone, InvalidError, ProviderError
from dstream_sdk.model import Object
from dstream_sdk.request import parse_request
from dstream_sdk.resource import ResourceContext, ResourceType
from dstream_sdk.workers import Workers


class Server:
    """Answers requests about the objects of one provider, with one configuration."""

    def __init__(
        self,
        kinds: Mapping[str, ResourceType[Any]],
        config: Any,
        reader: LineReader,
        writer: Writer,
        catalog: Catalog[Any] | None = None,
    ) -> None:
        """Take the types by name, the decoded configuration, the two ends of the wire, and where more types are."""
        self._kinds, self._config, self._reader, self._writer = dict(kinds), config, reader, writer
        self._catalog = catalog
        self._workers = Workers(self._respond)
        self._lock = threading.Lock()
        self._contexts: dict[Any, ResourceContext[Any]] = {}
        self._opened: set[str] = set()
        self._opening = threading.Lock()

    def run(self) -> int:
        """Serve until the host closes the pipe and everything is answered; return the exit code."""
        self._writer.send(b'{"status":"ready","protocol":2}')
        while (line := self._reader.readline()) is not None:
            if not line.strip():
                continue
            request = parse_request(line)
            if request.get("command") == "cancel":
                with self._lock:
                    context = self._contexts.get(request.get("id"))
                if context is not None:
                    context.cancelled = True
                continue
            with self._lock:
                self._contexts[request["id"]] = ResourceContext(self._config, request, self._send)
                busy = len(self._contexts)
            self._workers.add(request, busy)
        self._workers.finish()
        with contextlib.suppress(HostGone):
            self._writer.flush()  # what a worker has left to the next one
        for name in self._opened:
            self._kinds[name].close()
        if self._catalog is not None:
            self._catalog.close()
        return 0

    def _send(self, answer: dict[str, Any]) -> None:
        self._writer.send(encode(answer))

    def _respond(self, request: dict[str, Any]) -> None:
        number = request["id"]
        context = self._contexts[number]
        try:
            answer = self._answer(request, context)
        except ProviderError as problem:
            answer = {"status": "error", **_object_form(problem.object), "diagnostics": problem.diagnostics()}
        except HostGone:
            raise
        except Exception as problem:  # noqa: BLE001 - a mistake in a provider answers its request, not all
            fatal = ProviderError("Provider failed", f"{type(problem).__name__}: {problem}")
            answer = {"status": "error", "diagnostics": fatal.diagnostics()}
        with self._lock:
            self._contexts.pop(number, None)
        try:
            line = encode({"id": number, **answer})
            if not self._workers.waiting:
                self._writer.send(line)
            else:
                self._writer.put(line + b"\n")  # with what comes next, or in a moment
        except (TypeError, ValueError) as problem:
            log(f"the answer to request {number} is not JSON: {problem}")
            fatal = ProviderError("Provider failed", f"its answer is not JSON: {problem}")
            self._send({"id": number, "status": "error", "diagnostics": fatal.diagnostics()})

    def _kind(self, request: Mapping[str, Any]) -> ResourceType[Any]:
        name = str(request.get("type"))
        with self._opening:
            kind = self._kinds.get(name)
            if kind is None and self._catalog is not None:
                kind = self._catalog.kind(self._config, name)
            if kind is None:
                raise InvalidError("No such resource type", f"{name}; there are: {', '.join(sorted(self._kinds))}")
            self._kinds[name] = kind
            if name not in self._opened:
                kind.open(self._config)
                self._opened.add(name)
        return kind

    def _answer(self, request: dict[str, Any], ctx: ResourceContext[Any]) -> dict[str, Any]:
        command = request.get("command")
        if command == "status" and isinstance(request.get("objects"), list):
            return self._bulk(request, ctx)
        kind = self._kind(request)
        prior = _object(request)
        desired = unwrap(request.get("desired") or {})
        if command == "status":
            return _found(kind.read(ctx, _identity(request), prior))
        if command == "import":
            return _found(kind.import_(ctx, _identity(request)))
        if command == "find":
            return _found(kind.find(ctx, str(request.get("intent"))))
        if command == "init":
            if prior is None:
                return _found(kind.create(ctx, desired, ctx.intent))
            return _found(kind.update(ctx, prior, desired))
        if command == "destroy":
            if prior is None:
                prior = Object(_identity(request), {}, request.get("private"))
            kind.delete(ctx, prior)
            return {"status": "ok"}
        if command == "contents":
            held = kind.contents(ctx, prior or Object(_identity(request), {}, request.get("private")))
            return {"status": "gone"} if held is None else {"status": "ok", "contents": dict(held)}
        if command == "plan":
            attributes, replace = kind.plan(ctx, prior, desired)
            return {"status": "ok", "attributes": wrap(attributes), "replace": list(replace)}
        if command == "upgrade":
            attributes = kind.upgrade(ctx, prior.attributes if prior else {}, int(request.get("version") or 0))
            return {"status": "ok", "attributes": wrap(attributes)}
        raise InvalidError("No such command", f"{command!r} is not a request of protocol 2")

    def _bulk(self, request: dict[str, Any], ctx: ResourceContext[Any]) -> dict[str, Any]:
        """Answer for many objects, in order; a failure of one does not affect the others."""
        requested = [each for each in request["objects"] if isinstance(each, dict)]
        answers: list[dict[str, Any]] = [{} for _ in requested]
        by_type: dict[str, list[int]] = {}
        for at, each in enumerate(requested):
            by_type.setdefault(str(each.get("type") or request.get("type")), []).append(at)
        for name, indexes in by_type.items():
            try:
                kind = self._kind({"type": name})
                found = kind.read_many(ctx, [(_identity(requested[at]), _object(requested[at])) for at in indexes])
                for at, one in zip(indexes, found, strict=True):
                    answers[at] = _found(one)
            except ProviderError as problem:
                for at in indexes:
                    answers[at] = {"status": "error", "diagnostics": problem.diagnostics()}
        return {"status": "ok", "objects": answers}


def _identity(request: Mapping[str, Any]) -> dict[str, Any]:
    found = request.get("identity")
    return found if isinstance(found, dict) else {}


def _object(request: Mapping[str, Any]) -> Object | None:
    """Return the prior object of a request: its `prior` is the attributes recorded last."""
    prior = request.get("prior")
    if not isinstance(prior, dict):
        return None
    return Object(_identity(request), unwrap(prior), request.get("private"))


def _object_form(found: Object | None) -> dict[str, Any]:
    if found is None:
        return {}
    out = {"identity": dict(found.identity), "attributes": wrap(found.attributes)}
    if found.private is not None:
        out["private"] = dict(found.private)
    return out


def _found(found: Object | None) -> dict[str, Any]:
    return {"status": "gone"} if found is None else {"status": "ok", **_object_form(found)}
