"""The required objects of a data role's plan, which exist only while its data rules are checked.

What exists already is left alone, before and after. What cannot be made is left out: the data rules then report why
they cannot be checked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from dstream.plugins.binary import Binary
from dstream.plugins.conformance.planning import plan
from dstream.plugins.conformance.result import Departed, Skipped
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.request import Answer, Command, Request
from dstream.plugins.session import ResourceSession

_INTENT = "c0f0e5c0-0000-4000-8000-000000000002"


@contextlib.contextmanager
def objects_in_place(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> Iterator[None]:
    """Create what the plan of `role` names and is not there; destroy it afterwards, last first."""
    resources = _planned_resources(binary, info, config, role) if "resource" in info.roles else []
    if not resources:
        yield
        return
    session = ResourceSession(binary, info, config)
    made: list[tuple[Mapping[str, Any], Answer]] = []
    try:
        for each in resources:
            schema = info.resources[each["type"]]
            desired = {**schema.defaults, **each["attributes"]}
            identity = {name: desired.get(name) for name in schema.identity_attributes}
            if _ask(session, "status", each, identity=identity).status == "gone":
                answer = _ask(session, "init", each, desired=desired, intent=_INTENT)
                if answer.status == "ok":
                    made.append((each, answer))
        yield
    finally:
        for each, answer in reversed(made):
            _ask(session, "destroy", each, identity=answer.identity, prior=answer.attributes, private=answer.private)
        session.close()


def _planned_resources(
    binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str
) -> list[dict[str, Any]]:
    """Return the objects of the plan, each after those that it depends on."""
    try:
        lines, _ = plan(binary, config, role)
    except (Departed, Skipped):
        return []
    found = [line["resource"] for line in lines if isinstance(line.get("resource"), dict)]
    waiting = {(each["type"], each["key"]): each for each in found if each.get("type") in info.resources}
    ordered: list[dict[str, Any]] = []
    while waiting:
        free = [
            name
            for name, each in waiting.items()
            if not any(tuple(needed) in waiting for needed in each.get("depends_on") or ())
        ]
        if not free:
            return ordered
        ordered += [waiting.pop(name) for name in free]
    return ordered


def _ask(session: ResourceSession, command: Command, each: Mapping[str, Any], **members: Any) -> Answer:
    return session.ask(Request(command, each["type"], each["key"], timeout=60, **members))
