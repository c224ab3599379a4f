"""Inputs and outputs written with asyncio: the same roles, with coroutines in place of methods.

    from dstream_sdk.aio import AsyncInput, AsyncInputSession

    class Orders(AsyncInput[Settings]):
        async def run_async(self, config: Settings, session: AsyncInputSession) -> None:
            while not await session.wait(1.0):
                await session.emit(await fetch())

Imported only by providers that use it: asyncio takes longer to import than the rest of the SDK.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from dstream_sdk.checkpoint_pacer import Position
from dstream_sdk.input import Input, InputSession
from dstream_sdk.model import Envelope
from dstream_sdk.output import Output, OutputSession, parse

C = TypeVar("C")
T = TypeVar("T")

_DRAIN_AT = 128 * 1024


class AsyncInputSession:
    """One run of an input, for coroutines: writing to a slow host does not hold the event loop."""

    def __init__(self, session: InputSession) -> None:
        """Wrap the session, inside the event loop that will use it."""
        self.session = session
        """The session itself, for its attributes such as `checkpoint_position`, `until_current` and `max_records`."""
        self._stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(session.stop_fd, self._stop.set)

    @property
    def stopping(self) -> bool:
        """Whether to write a last checkpoint and return."""
        return self.session.stopping

    async def emit(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """Emit one envelope."""
        self.session.emit(data, metadata)
        await self._drain()

    async def emit_bytes(self, lines: bytes, count: int = 1) -> None:
        """Emit `count` envelopes that are encoded already."""
        self.session.emit_bytes(lines, count)
        await self._drain()

    async def checkpoint(self, position: Mapping[str, Any]) -> None:
        """Declare that all data up to `position` has been emitted, and write the checkpoint now."""
        await asyncio.to_thread(self.session.checkpoint, position)

    async def advance(self, position: Position) -> None:
        """Declare that all data up to `position` has been emitted; the checkpoint is written when it is due."""
        await asyncio.to_thread(self.session.advance, position)

    async def wait(self, seconds: float) -> bool:
        """Write what is buffered, sleep, and return whether the input is stopping; wakes up early if so."""
        await asyncio.to_thread(self.session.flush)
        if not self.stopping:
            try:
                async with asyncio.timeout(seconds):
                    await self._stop.wait()
            except TimeoutError:
                pass
        return self.stopping

    async def stopped(self) -> None:
        """Wait until the host or a signal requests a stop."""
        await self._stop.wait()

    async def _drain(self) -> None:
        if self.session.buffered >= _DRAIN_AT:
            await asyncio.to_thread(self.session.flush)


class AsyncInput(Input[C]):
    """An input whose run is a coroutine."""

    async def run_async(self, config: C, session: AsyncInputSession) -> None:
        """Emit data until `session.stopping`, or until there is no more; as `Input.run`."""
        raise TypeError(f"{type(self).__name__} has no run_async method")

    def run(self, config: C, session: InputSession) -> None:
        """Run the coroutine in an event loop of its own."""

        async def with_session() -> None:
            await self.run_async(config, AsyncInputSession(session))

        asyncio.run(with_session())


class AsyncOutput(Output[C]):
    """An output whose methods are coroutines, in an event loop that runs on while data is awaited."""

    _loop: asyncio.AbstractEventLoop
    _thread: threading.Thread

    async def open_async(self, config: C, session: OutputSession) -> None:
        """As `Output.open`."""

    async def write_async(self, envelopes: list[Envelope]) -> None:
        """As `Output.write_envelopes`."""
        raise TypeError(f"{type(self).__name__} has no write_async method")

    async def flush_async(self, checkpoint: dict[str, Any] | None) -> None:
        """As `Output.flush`."""

    async def close_async(self, ended: bool) -> None:
        """As `Output.close`."""

    def open(self, config: C, session: OutputSession) -> None:
        """Run `open_async` in an event loop of a thread, which starts here: sessions may be forked before."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncio", daemon=True)
        self._thread.start()
        self._call(self.open_async(config, session))

    def write(self, lines: list[bytes]) -> None:
        """Run `write_async`."""
        self._call(self.write_async([parse(line, self.exact_numbers) for line in lines]))

    def flush(self, checkpoint: dict[str, Any] | None) -> None:
        """Run `flush_async`."""
        self._call(self.flush_async(checkpoint))

    def close(self, ended: bool) -> None:
        """Run `close_async` and end the event loop."""
        self._call(self.close_async(ended))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
