"""Rule R18: sessions that a fork server starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from dstream.plugins.binary import Binary, Role
from dstream.plugins.conformance.planning import STREAM, plan
from dstream.plugins.conformance.result import Result, Skipped, check, require
from dstream.plugins.environment import provider_environment
from dstream.plugins.fork_server import CAN_FORK, FORKS, ForkServer
from dstream.plugins.one_shot import converse
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.process import describe_exit
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import decode_object, encode


def check_forks(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: Role) -> Iterator[Result]:
    """Check the rule of fork servers in `role`."""
    yield check("R18", lambda: _forks(binary, info, config, role), role)


def _forks(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: Role) -> None:
    if FORKS not in info.capabilities:
        raise Skipped("it does not announce forks")
    if not CAN_FORK or binary.container is not None:
        raise Skipped("nothing is forked on this system, and in containers")
    opening: dict[str, Any] = {"command": "plan", "protocol": 2, "role": role, "task": "conformance", "config": config}
    if role == "output":
        opening["streams"] = [STREAM]
    server = ForkServer(binary, role, provider_environment(binary.source.env), Redactor())
    try:
        idle, one, two = (server.begin().result() for _ in range(3))
        require(not server.refusal, f"it does not get ready as a fork server: {server.refusal}")
        require(os.getpgid(one.pid) == one.pid, "a session leads no process group of its own")
        one.kill()
        require(one.wait(5.0) == -9, f"a session that was killed {describe_exit(one.poll())}")
        found = converse(two, encode(opening), timeout=30.0, redactor=Redactor())
        require(found.exit_code == 0, f"a session {describe_exit(found.exit_code)}")
        require(idle.poll() is None, "a session ends with another one")
        if "discovers" not in info.capabilities:
            lines = [decode_object(line) or {} for line in found.lines]
            require((lines[:-1], lines[-1]) == plan(binary, config, role), "a session differs from a process alone")
        for each in (idle, one):
            each.close()
    finally:
        server.close()
