"""A resource session that the host ends: every request that was read is answered, the last ones too."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from dstream_sdk import Object, ResourceContext, ResourceType
from dstream_sdk.channel import LineReader, Writer
from dstream_sdk.resource_server import Server


class Slow(ResourceType[Any]):
    """Answers only when the session is about to end."""

    type = "slow"
    server: Server

    def read(self, ctx: ResourceContext[Any], identity: Mapping[str, Any], prior: Object | None) -> Object | None:
        until = time.monotonic() + 60
        while self.server._queue.empty() and time.monotonic() < until:  # the end is a message in the workers' queue
            time.sleep(0.001)
        return None


def test_answers_that_are_ready_when_the_session_ends_are_written() -> None:
    source, feed = os.pipe()
    answers, sink = os.pipe()
    requests = [{"id": number, "command": "status", "type": "slow", "identity": {}} for number in (1, 2)]
    os.write(feed, "".join(json.dumps(request) + "\n" for request in requests).encode())
    os.close(feed)
    kind = Slow()
    kind.server = Server({"slow": kind}, {}, LineReader(source), Writer(sink))
    assert kind.server.run() == 0
    os.close(sink)
    with os.fdopen(answers, "rb") as file:
        ready, *found = map(json.loads, file)
    assert ready["status"] == "ready"
    assert sorted(form["id"] for form in found) == [1, 2]
