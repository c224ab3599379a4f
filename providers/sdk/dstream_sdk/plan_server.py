"""Plan server: one process that answers `plan` for every task that uses the provider in one role.

A part that does not discover answers one request after the other. One that discovers waits for a network, so that
several threads answer.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

from dstream_sdk.channel import LineReader, Writer, encode
from dstream_sdk.errors import HostGone, InvalidError
from dstream_sdk.handshake import refusal
from dstream_sdk.input import Input
from dstream_sdk.output import Output
from dstream_sdk.plan_response import plan_answer
from dstream_sdk.request import parse_request

MAX_IN_FLIGHT = 16
"""The number of requests that a part that discovers answers at the same time."""


class PlanServer:
    """Answers requests `{"id","command":"plan","task","config","streams"}`; each line of an answer has the `id`."""

    def __init__(self, part: Input[Any] | Output[Any], config: type[Any], reader: LineReader, writer: Writer) -> None:
        """Take an input or output, the dataclass of its configuration, and the two ends of the wire."""
        self._part, self._config, self._reader, self._writer = part, config, reader, writer
        self._queue: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()

    def run(self) -> int:
        """Serve until the host closes the pipe and everything is answered; return the exit code."""
        self._writer.send(b'{"status":"ready","protocol":2}')
        workers: list[threading.Thread] = []
        while (line := self._reader.readline()) is not None:
            if not line.strip():
                continue
            request = parse_request(line)
            if not self._part.discovers:
                self._answer(request)
                continue
            if len(workers) < MAX_IN_FLIGHT:
                workers.append(threading.Thread(target=self._work, name=f"plan-{len(workers)}", daemon=True))
                workers[-1].start()
            self._queue.put(request)
        for _ in workers:
            self._queue.put(None)
        for worker in workers:
            worker.join()
        return 0

    def _work(self) -> None:
        while (request := self._queue.get()) is not None:
            try:
                self._answer(request)
            except HostGone:
                return

    def _answer(self, request: Mapping[str, Any]) -> None:
        number = request["id"]
        if request.get("command") == "plan":
            self._writer.send(plan_answer(self._part, self._config, request, {"id": number}))
        else:
            problem = InvalidError("No such command", f"{request.get('command')!r} is not `plan`")
            self._writer.send(encode({"id": number, **refusal(problem)}))
