"""Program: `main` runs a provider's executable."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from dstream_sdk.channel import LineReader, Writer, encode, log, take_over, unwrap
from dstream_sdk.errors import HostGone, InvalidError, ProviderError
from dstream_sdk.handshake import refuse
from dstream_sdk.input import Input, run_input
from dstream_sdk.output import Output, run_output
from dstream_sdk.provider import Provider
from dstream_sdk.settings import decode

PROTOCOL = 2


def main(provider: Provider | str) -> None:
    """Run the provider on standard input and output; leaves the process with an exit code.

    0: the session ended as it should. 1: it failed, and stderr or the answer says why. 2: called in a wrong
    way. A provider given as "package.module:NAME" is imported after standard output has been redirected, so that
    nothing that its imports print can reach the host. NAME is a Provider, or a function that returns one: then a
    package with several executables imports only what this one needs.
    """
    if sys.argv[1:2] == ["--version"] and not isinstance(provider, str):
        print(f"{provider.name} {provider.release()}")
        return
    source, sink = take_over()
    threading.excepthook = _thread_failed
    reader, writer = LineReader(source), Writer(sink)
    try:
        code = run_provider(_load(provider) if isinstance(provider, str) else provider, reader, writer)
    except HostGone:
        code = 1
    except KeyboardInterrupt:
        code = 130
    except ProviderError as problem:
        for each in problem.diagnostics():
            log(f"error: {each['summary']}\n  {each['detail']}" if each["detail"] else f"error: {each['summary']}")
        code = 1
    except Exception as problem:  # noqa: BLE001 - users see a sentence, never a traceback
        log(f"error: the provider failed: {type(problem).__name__}: {problem}")
        if os.environ.get("DSTREAM_DEBUG"):
            import traceback

            traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # Threads of libraries, and the reader of the host's lines, do not keep the process alive.
    os._exit(code)


def _load(reference: str) -> Provider:
    from importlib import import_module

    module, _, name = reference.partition(":")
    found = getattr(import_module(module), name)
    if callable(found):
        found = found()
    if not isinstance(found, Provider):
        raise TypeError(f"{reference} is not a Provider")
    return found


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is not HostGone:
        log(f"error: the provider failed: {failure.exc_type.__name__}: {failure.exc_value}")
    os._exit(1)


def run_provider(provider: Provider, reader: LineReader, writer: Writer) -> int:
    """Run one session of `provider` over the two ends of the wire; return the exit code. Raises what ended it."""
    if os.environ.get("DSTREAM_PROBE") == "1":
        from dstream_sdk.probe import probe

        writer.send(encode(probe(provider)))
        return 0
    first = reader.readline()
    if first is None or not first.strip():
        example = '{"command":"run","config":{}}'
        log(f"{provider.name} {provider.release()} is a dstream provider: its input starts with a line of JSON,")
        log(f"such as {example}")
        return 2
    opening = _opening(first)
    protocol = PROTOCOL if _number(opening.get("protocol")) >= 2 else 1
    command = str(opening.get("command"))
    if protocol == 1:
        return _version_1(provider, command, opening, reader, writer)
    try:
        session = _version_2(provider, command, opening, reader, writer)
    except ProviderError as problem:
        return refuse(writer, problem)
    return session()


def _version_2(
    provider: Provider, command: str, opening: Mapping[str, Any], reader: LineReader, writer: Writer
) -> Callable[[], int]:
    """Return the session for the opening line, ready to run."""
    role = opening.get("role")
    if role not in provider.roles():
        raise InvalidError(
            "No such role", f"{provider.name} has no role {role!r}; it has {', '.join(provider.roles())}"
        )
    given = unwrap(opening.get("config") or {})
    part = {"input": provider.input, "output": provider.output}.get(str(role))
    if command == "plan" and part:
        return lambda: _plan(provider, part, opening, writer)
    if command == "fork" and part:
        return _fork_server(provider, reader, writer)
    if command == "serve" and part:
        from dstream_sdk.plan_server import PlanServer

        return PlanServer(part, provider.config(), reader, writer).run
    if command == "run" and role == "input" and (source := provider.input):
        config = decode(provider.config(), given)
        return lambda: run_input(source, config, opening, reader, writer, 2)
    if command == "run" and role == "output" and (sink := provider.output):
        config = decode(provider.config(), given)
        return lambda: run_output(sink, config, opening, reader, writer, 2)
    if command == "serve" and role == "resource":
        from dstream_sdk.resource_server import Server

        kinds = {kind.type: kind for kind in provider.resources}
        return Server(kinds, decode(provider.config(), given), reader, writer, provider.catalog).run
    if command == "schema" and role == "resource" and provider.catalog is not None:
        from dstream_sdk.catalog import describe_types

        catalog = provider.catalog
        return lambda: describe_types(catalog, opening, given, writer)
    raise InvalidError("No such command", f"{command!r} is not a command of role {role} in protocol 2")


def _fork_server(provider: Provider, reader: LineReader, writer: Writer) -> Callable[[], int]:
    """Return the fork server of a provider that has loaded all that a session needs."""
    from dstream_sdk.fork_server import ForkServer, preload

    preload(provider)
    server = ForkServer(reader.fd, writer)

    def session() -> int:
        source, sink = take_over()
        return run_provider(provider, LineReader(source), Writer(sink))

    return lambda: server.run(session)


def _plan(provider: Provider, part: Input[Any] | Output[Any], opening: Mapping[str, Any], writer: Writer) -> int:
    from dstream_sdk.plan_response import plan_answer

    writer.send(plan_answer(part, provider.config(), opening, {}))
    return 0


def _version_1(provider: Provider, command: str, opening: Mapping[str, Any], reader: LineReader, writer: Writer) -> int:
    """Answer a host, or a person at a shell, that speaks version 1: a first line without `protocol`."""
    bare = "command" not in opening
    given = opening if bare else opening.get("config") or {}
    if command == "run" or bare:
        config = decode(provider.config(), given, warn=log)
        if provider.input and provider.output is None:
            return run_input(provider.input, config, opening, reader, writer, 1)
        if provider.output:
            return run_output(provider.output, config, opening, reader, writer, 1)
        raise InvalidError("No such command", f"{provider.name} manages resources and does not move data")
    from dstream_sdk.lifecycle import lifecycle

    return lifecycle(provider, command, given, writer)


def _opening(line: bytes) -> dict[str, Any]:
    try:
        opening = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as problem:
        raise InvalidError("Not an opening line", f"expected one line with a JSON object: {problem}") from None
    if not isinstance(opening, dict):
        raise InvalidError("Not an opening line", "expected one line with a JSON object")
    return opening


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
