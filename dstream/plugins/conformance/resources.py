"""Rules about resource sessions: R40 to R48. Objects are those that the provider's own plan asks for.

An object is created only if it does not exist, and destroyed only if the kit has created it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dstream.plugins.binary import Binary
from dstream.plugins.conformance.opening import opening_line
from dstream.plugins.conformance.planning import plan
from dstream.plugins.conformance.result import Departed, Result, Skipped, check, require
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.probe import ProviderInfo

_UNKNOWN = {"command": "status", "type": "x-not-known", "key": "k", "identity": {"name": "x"}}


def check_resources(binary: Binary, info: ProviderInfo, config: Mapping[str, Any]) -> Iterator[Result]:
    """Check the rules of resource sessions."""

    def opened() -> Talk:
        talk = Talk(binary, opening_line(info, "resource", config))
        form = talk.object("answer to its opening line", 30.0)
        if form.get("status") != "ready":
            raise Skipped(f"it refuses this configuration: {form.get('diagnostics')}")
        return talk

    def each_once() -> None:
        with opened() as talk:
            talk.send(*({"id": number, **_UNKNOWN} for number in range(1, 9)))
            numbers = [_answer(talk)["id"] for _ in range(8)]
            require(sorted(numbers) == list(range(1, 9)), f"requests 1 to 8 were answered as {numbers}")
            talk.close_input()
            require(not talk.rest(), "it wrote more than one answer to a request")

    def both_ways() -> None:
        with opened() as talk:
            filler = "x" * 200_000
            talk.send(*({"id": number, **_UNKNOWN, "private": filler} for number in range(1, 11)))
            require(len([_answer(talk) for _ in range(10)]) == 10, "")

    def finishes() -> None:
        with opened() as talk:
            talk.send({"id": 1, **_UNKNOWN}, {"id": 2, **_UNKNOWN})
            talk.close_input()
            answers = talk.rest(30.0)
            require(len(answers) == 2, f"of 2 outstanding requests {len(answers)} were answered")
            require(talk.code == 0, f"it exited with {talk.code}")

    def errors() -> None:
        with opened() as talk:
            talk.send({"id": 1, **_UNKNOWN})
            form = _answer(talk)
            require(form.get("status") == "error", f"it answered {form} about a type that it does not have")
            found = form.get("diagnostics")
            classes = [each.get("class") for each in found if isinstance(each, dict)] if isinstance(found, list) else []
            require(any(classes) or "class" in form, "its error has no class")
            talk.send({"id": 2, **_UNKNOWN})
            require(_answer(talk).get("id") == 2, "it does not go on after an error")

    def lists() -> None:
        if "bulk_status" not in info.capabilities:
            raise Skipped("it takes no lists")
        objects = [{name: value for name, value in _UNKNOWN.items() if name != "command"}] * 3
        with opened() as talk:
            talk.send({"id": 1, "command": "status", "objects": objects})
            form = _answer(talk)
            found = form.get("objects")
            require(isinstance(found, list) and len(found) == 3, f"it answered {str(form)[:200]}")

    yield check("R40", each_once)
    yield check("R41", both_ways)
    yield check("R42", finishes)
    yield check("R47", errors)
    yield check("R48", lists)
    yield from _objects(binary, info, config, opened)


def _answer(talk: Talk) -> dict[str, Any]:
    while True:
        form = talk.object("answer to a request", 60.0)
        if form.get("status") != "progress":
            return form


def _objects(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], opened: Any) -> Iterator[Result]:
    """Create, read and destroy the objects of the plan."""
    problems: dict[str, str] = {}

    def lifecycle() -> None:
        resources = _planned_resources(binary, info, config)
        with opened() as talk:
            numbers = iter(range(1, 1000))

            def ask(command: str, each: Mapping[str, Any], **members: Any) -> dict[str, Any]:
                number = next(numbers)
                talk.send({"id": number, "command": command, "type": each["type"], "key": each["key"], **members})
                return _answer(talk)

            for each in resources:
                schema = info.resources[each["type"]]
                desired = {**schema.defaults, **each["attributes"]}
                identity = {name: desired.get(name) for name in schema.identity_attributes}
                if ask("status", each, identity=identity).get("status") != "gone":
                    raise Skipped(f"{each['type']} {each['key']} exists already, and is left alone")
                made = ask("init", each, desired=desired, intent="c0f0e5c0-0000-4000-8000-000000000001")
                if made.get("status") != "ok":
                    raise Skipped(f"{each['type']} {each['key']} cannot be created: {made.get('diagnostics')}")
                known = {"identity": made.get("identity"), "private": made.get("private")}
                known["prior"] = made.get("attributes")
                try:
                    seen = ask("status", each, **known)
                    if _comparable(seen.get("attributes")) != _comparable(made.get("attributes")):
                        problems["R44"] = f"created {made.get('attributes')}, then seen {seen.get('attributes')}"
                finally:
                    gone = [ask("destroy", each, **known), ask("destroy", each, **known)]
                if [form.get("status") for form in gone] != ["ok", "ok"]:
                    problems["R45"] = f"destroying twice was answered {gone}"

    def look(rule: str) -> None:
        if rule in problems:
            raise Departed(problems[rule])

    first = check("R44", lifecycle)
    yield first if first.outcome != "passed" else check("R44", lambda: look("R44"))
    yield Result("R45", "skipped", first.detail) if first.outcome != "passed" else check("R45", lambda: look("R45"))


def _planned_resources(binary: Binary, info: ProviderInfo, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    for role in ("input", "output"):
        if role in info.roles:
            lines, _ = plan(binary, config, role)
            found = [line["resource"] for line in lines if isinstance(line.get("resource"), dict)]
            known = [each for each in found if each.get("type") in info.resources and not each.get("depends_on")]
            if known:
                return known[:1]
    raise Skipped("its plan names no object that stands alone")


def _comparable(attributes: Any) -> str:
    return json.dumps(attributes, sort_keys=True, default=str)
