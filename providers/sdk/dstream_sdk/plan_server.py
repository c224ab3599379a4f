"""Plan server: one process that answers `plan` for every task that uses the provider in one role.

A part that neither discovers nor has consequences answers one request after the other. Another one waits for a
network, so that several threads answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstream_sdk.channel import LineReader, Writer, encode
from dstream_sdk.errors import InvalidError
from dstream_sdk.handshake import refusal
from dstream_sdk.input import Input
from dstream_sdk.output import Output
from dstream_sdk.plan_response import ASSESS, plan_answer
from dstream_sdk.request import parse_request
from dstream_sdk.workers import Workers


class PlanServer:
    """Answers requests `{"id","command":"plan","task","config","streams"}`; each line of an answer has the `id`."""

    def __init__(self, part: Input[Any] | Output[Any], config: type[Any], reader: LineReader, writer: Writer) -> None:
        """Take an input or output, the dataclass of its configuration, and the two ends of the wire."""
        self._part, self._config, self._reader, self._writer = part, config, reader, writer

    def run(self) -> int:
        """Serve until the host closes the pipe and everything is answered; return the exit code."""
        self._writer.send(b'{"status":"ready","protocol":2}')
        workers = Workers(self._answer)
        while (line := self._reader.readline()) is not None:
            if not line.strip():
                continue
            request = parse_request(line)
            if self._part.discovers or ASSESS in request:
                workers.add(request)
            else:
                self._answer(request)
        workers.finish()
        return 0

    def _answer(self, request: Mapping[str, Any]) -> None:
        number = request["id"]
        if request.get("command") == "plan":
            self._writer.send(plan_answer(self._part, self._config, request, {"id": number}))
        else:
            problem = InvalidError("No such command", f"{request.get('command')!r} is not `plan`")
            self._writer.send(encode({"id": number, **refusal(problem)}))
