"""Providers as threads of the test process, behind the interface of a provider process.

    with in_process({"/path/of/bin/rec": make}): ...     # make(life) returns the SDK's Provider

Inside the block, starting one of these programs starts a thread instead. Everything else is the real thing: the
host's resource sessions and one-shot conversations, the protocol over pipes, the SDK. Killing such a provider closes
its pipes and lets it do nothing more. What only a process has, it does not have: standard error, an environment,
signals, and descriptors that it inherits.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dstream.plugins import process
from dstream_sdk.channel import LineReader, Writer, encode
from dstream_sdk.errors import HostGone, ProviderError
from dstream_sdk.probe import probe
from dstream_sdk.program import run_provider
from dstream_sdk.provider import Provider
from tests.services.recorder.store import Life

Make = Callable[[Life], Provider]
_pids = itertools.count(1 << 23)  # beyond what any system gives to a process, so that a signal to one hits nobody


class Prompt(Writer):
    """A writer without a thread of its own: nothing waits to be gathered."""

    def put(self, lines: bytes) -> None:
        """Write whole lines."""
        self.send(lines.removesuffix(b"\n"))


class ThreadProcess(Life):
    """One provider that runs as a thread; for the host it is a `ProviderProcess`, for the provider its `Life`."""

    def __init__(self, name: str, ended: Callable[[], None] | None) -> None:
        self.name = name
        self.pid = next(_pids)
        self.started = None
        self._ended = ended
        self._lock = threading.Lock()
        self._code: int | None = None
        self._over = threading.Event()
        self._their_stdin, self.stdin = os.pipe()
        self.stdout, self._their_stdout = os.pipe()
        self.stderr, self._their_stderr = os.pipe()
        self._open = {0: self.stdin, 1: self.stdout, 2: self.stderr}

    # -- what the host does ----------------------------------------------------------------------------

    def poll(self) -> int | None:
        return self._code

    def wait(self, timeout: float) -> int | None:
        self._over.wait(timeout)
        return self._code

    def terminate(self) -> None:
        self._end(-signal.SIGTERM)

    def kill(self) -> None:
        self._end(-signal.SIGKILL)

    def close_stdin(self) -> None:
        self._close(0)

    def close(self) -> None:
        self.kill()
        for number in (0, 1, 2):
            self._close(number)

    def _close(self, number: int) -> None:
        with self._lock:
            descriptor = self._open.pop(number, None)
        if descriptor is not None:
            os.close(descriptor)

    # -- what the provider does ------------------------------------------------------------------------

    def die(self) -> None:
        self.kill()
        raise HostGone

    def sleep(self, seconds: float) -> None:
        if self._over.wait(seconds) or self._over.is_set():
            raise HostGone

    def serve(self, make: Make, environment: Mapping[str, str]) -> None:
        """Be the provider until it ends, as `dstream_sdk.main` is."""
        reader, writer = LineReader(self._their_stdin), Prompt(self._their_stdout)
        code = 1
        try:
            provider = make(self)
            if environment.get("DSTREAM_PROBE") == "1":
                writer.send(encode(probe(provider)))
                code = 0
            else:
                code = run_provider(provider, reader, writer)
        except HostGone:
            pass
        except ProviderError as problem:
            for each in problem.diagnostics():
                os.write(self._their_stderr, f"error: {each['summary']}\n  {each['detail']}\n".encode())
        finally:
            self._end(code)
            for descriptor in (self._their_stdin, self._their_stdout, self._their_stderr):
                os.close(descriptor)

    def _end(self, code: int) -> None:
        """Close the outputs, without giving their numbers away while the provider may still write to them."""
        with self._lock:
            if self._code is not None:
                return
            self._code = code
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._their_stdout)
            os.dup2(null, self._their_stderr)
            os.close(null)
        self._over.set()
        if self._ended is not None:
            self._ended()


@contextlib.contextmanager
def in_process(programs: Mapping[str, Make]) -> Iterator[None]:
    """Have programs, by their paths, run as threads; all others are started as ever."""
    start = process.begin

    def begin(
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        inherit: Iterable[int] = (),
        folder: str | None = None,
        ended: Callable[[], None] | None = None,
    ) -> process.Starting:
        make = programs.get(argv[0])
        if make is None:
            return start(name, argv, environment, inherit, folder, ended)
        starting, made = process.Starting(), ThreadProcess(name, ended)
        threading.Thread(target=made.serve, args=(make, environment), name=f"provider {name}", daemon=True).start()
        starting.set(made)  # type: ignore[arg-type]  # it has all that a ProviderProcess has; a test holds that
        return starting

    process.begin = begin
    try:
        yield
    finally:
        process.begin = start
