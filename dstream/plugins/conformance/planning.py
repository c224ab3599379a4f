"""Rules about the plan of a data role: R11, R12, R14, R16, R17, R19."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.plugins.assessment import CONSEQUENCES, assessment
from dstream.plugins.binary import Binary
from dstream.plugins.conformance.result import Departed, Result, Skipped, check, require
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.derivation import is_timeout
from dstream.plugins.plan_session import PLANS_MANY
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import decode_object
from dstream_state import TIMED

STREAM = {"name": "conformance", "key": ["id"], "schema": {"type": "object", "properties": {"id": {"type": "integer"}}}}


def plan(
    binary: Binary, config: Mapping[str, Any], role: str, assess: Mapping[str, Any] | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the lines of a plan and how it ended; raise Departed if it did not end well."""
    opening: dict[str, Any] = {"command": "plan", "protocol": 2, "role": role, "task": "conformance", "config": config}
    if role == "output":
        opening["streams"] = [STREAM]
    if assess is not None:
        opening["assess"] = assess
    with Talk(binary, opening) as talk:
        talk.close_input()
        forms = []
        for line in talk.rest(30.0 if assess is None else 60.0):
            form = decode_object(line)
            if form is None:
                raise Departed(f"it wrote {line[:200]!r}")
            forms.append(form)
        require(bool(forms) and "status" in forms[-1], f"the plan has no end{talk.why()}")
        status = forms[-1]["status"]
        require(status in ("done", "deferred", "error"), f"it ended with status {status!r}")
        require(talk.code == 0 or status == "error", f"it exited with {talk.code}")
        return forms[:-1], forms[-1]


def check_plan(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> Iterator[Result]:
    """Check the rules of plans in `role`."""
    yield check("R11", lambda: _discard(plan(binary, config, role)), role)
    yield check("R12", lambda: _twice(binary, info, config, role), role)
    yield check("R14", lambda: _objects(binary, info, config, role), role)
    yield check("R16", lambda: _timeouts(binary, config, role), role)
    yield check("R17", lambda: _many(binary, info, config, role), role)
    yield check("R19", lambda: check_assessment(binary, info, config, role), role)


def _discard(found: object) -> None:
    """The plan is valid, whatever it contains."""


def _twice(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    if "discovers" in info.capabilities:
        raise Skipped("it discovers, so two plans may differ")
    require(plan(binary, config, role) == plan(binary, config, role), "two plans of one configuration differ")


def check_assessment(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    """Ask what happens to the data; raise Departed if the answer is malformed, or plans other objects."""
    if CONSEQUENCES not in info.capabilities:
        raise Skipped("it does not announce consequences")
    alone, _ = plan(binary, config, role)
    for recorded in ({"applied": False}, {"applied": True, "config": config, "streams": ["conformance"]}):
        lines, end = plan(binary, config, role, recorded)
        require(lines == alone or "discovers" in info.capabilities, "with `assess` it plans other objects")
        try:
            assessment(end, Redactor())
        except ValueError as problem:
            raise Departed(f"what it reports is not well formed: {problem}") from None


def _many(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    if PLANS_MANY not in info.capabilities:
        raise Skipped("it does not announce plans_many")
    alone = plan(binary, config, role)
    with Talk(binary, {"command": "serve", "protocol": 2, "role": role, "config": {}}) as talk:
        require(talk.object("ready").get("status") == "ready", "it is not ready for requests")
        request: dict[str, Any] = {"command": "plan", "task": "conformance", "config": config}
        if role == "output":
            request["streams"] = [STREAM]
        wrong = {**request, "id": 2, "config": {**config, "conformance_no_such_setting": 1}}
        talk.send({"id": 1, **request}, wrong, {"id": 3, **request})
        talk.close_input()
        answers: dict[Any, list[dict[str, Any]]] = {1: [], 2: [], 3: []}
        for line in talk.rest(60.0):
            form = decode_object(line) or {}
            number = form.pop("id", None)
            require(number in answers, f"it wrote {line[:200]!r}, which answers no request")
            answers[number].append(form)
        require(talk.code == 0, f"it exited with {talk.code}")
    for number, lines in answers.items():
        ends = [line for line in lines if "status" in line]
        require(len(ends) == 1 and lines[-1] is ends[0], f"the answer to request {number} has {len(ends)} ends")
    if "discovers" not in info.capabilities:
        for number in (1, 3):
            require((answers[number][:-1], answers[number][-1]) == alone, f"answer {number} differs from a plan alone")


def _timeouts(binary: Binary, config: Mapping[str, Any], role: str) -> None:
    lines, _ = plan(binary, config, role)
    given = [(line["resource"], line["resource"]["timeouts"]) for line in lines if _timed(line.get("resource"))]
    if not given:
        raise Skipped("it gives no object a timeout")
    for each, timeouts in given:
        what = f"{each.get('type')} {each.get('key')} has timeouts {timeouts!r}"
        require(isinstance(timeouts, dict) and set(timeouts) <= set(TIMED), f"{what}: there are {', '.join(TIMED)}")
        for seconds in timeouts.values():
            require(is_timeout(seconds), f"{what}: each is in seconds, more than 0 and at most a year")


def _timed(resource: Any) -> bool:
    return isinstance(resource, dict) and resource.get("timeouts") is not None


def _objects(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    lines, end = plan(binary, config, role)
    if end["status"] != "done":
        raise Skipped(f"the plan ended with {end['status']}")
    found = [line["resource"] for line in lines if isinstance(line.get("resource"), dict)]
    if not found:
        raise Skipped("it plans no objects with this configuration")
    names = [(each.get("type"), each.get("key")) for each in found]
    require(len(set(names)) == len(names), f"keys are used twice: {names}")
    for each in found:
        schema = info.resources.get(str(each.get("type")))
        if schema is None:
            raise Departed(f"no schema describes the type {each.get('type')!r}")
        known = schema.schema.get("properties")
        strange = sorted(set(each.get("attributes") or {}) - set(known if isinstance(known, dict) else {}))
        require(not strange, f"{each['type']} has no {', '.join(strange)}")
