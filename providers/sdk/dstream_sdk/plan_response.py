"""Plan response: the answer to `plan` of a data role, with required objects and the streams of an input.

Nothing is written before the plan is complete.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dstream_sdk.channel import encode, unwrap, wrap
from dstream_sdk.consequence import Consequence, Finding, Prior
from dstream_sdk.errors import Deferred, InvalidError, ProviderError
from dstream_sdk.handshake import refusal
from dstream_sdk.input import Input
from dstream_sdk.model import Notice, PlanContext, Released, Resource, Stream
from dstream_sdk.output import Output, streams_of
from dstream_sdk.settings import decode

ASSESS = "assess"
"""The member of a request that asks for consequences and findings."""
ASSESS_SECONDS = 25.0
"""How long they are waited for. The host allows 30 seconds more for a request that asks for them."""


def plan_answer(
    part: Input[Any] | Output[Any], config: type[Any], request: Mapping[str, Any], members: Mapping[str, Any]
) -> bytes:
    """Return the lines of the answer to `request`, joined: the objects and streams that `part` plans, and the status.

    `request` has the members `task`, `config` and, for outputs, `streams`; `assess` if consequences are asked for.
    Each line begins with `members`. An error is an answer of one line.
    """
    try:
        return b"\n".join(encode({**members, **line}) for line in _lines(part, config, request))
    except Deferred as deferred:
        return encode({**members, "status": "deferred", "needs": list(deferred.needs)})
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is the answer, and the host proposes nothing
        return encode({**members, **refusal(problem)})


def _lines(part: Input[Any] | Output[Any], config: type[Any], request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    settings = decode(config, unwrap(request.get("config") or {}))
    recorded = request.get(ASSESS)
    context = PlanContext(str(request.get("task") or ""), streams_of(request), isinstance(recorded, Mapping))
    found: list[Any] = list(part.plan(settings, context))
    yield from (_line(each) for each in found if isinstance(each, Resource | Stream))
    end = _end(found)
    if isinstance(recorded, Mapping):
        end |= _assessed(part, settings, context._replace(prior=Prior.from_json(recorded)))
    yield end


def _assessed(part: Input[Any] | Output[Any], settings: Any, context: PlanContext) -> dict[str, Any]:
    """Return the members `consequences` and `findings`; an error is a finding, and the objects are planned.

    A server that does not answer in time is left behind with its thread: what was found until then is reported.
    """
    reported: list[Consequence | Finding] = []

    def ask() -> None:
        try:
            reported.extend(part.consequences(settings, context))
        except Deferred as deferred:
            reported.append(_unchecked(f"{', '.join(deferred.needs)} is known only after apply"))
        except ProviderError as problem:
            reported.append(_unchecked(f"{problem.summary}: {problem.detail}" if problem.detail else problem.summary))
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is no reason to plan nothing
            reported.append(_unchecked(f"{type(problem).__name__}: {problem}"))

    reporting = threading.Thread(target=ask, name="consequences", daemon=True)
    reporting.start()
    reporting.join(ASSESS_SECONDS)
    found = list(reported)
    if reporting.is_alive():
        found.append(_unchecked(f"the server did not answer within {ASSESS_SECONDS:g} s"))
    return {
        "consequences": [each.to_json() for each in found if isinstance(each, Consequence)],
        "findings": [each.to_json() for each in found if isinstance(each, Finding)],
    }


def _unchecked(why: str) -> Finding:
    return Finding("Consequences not checked", why, certain=False)


_TIMED = ("create", "read", "update", "delete")
_LONGEST = 365 * 24 * 3600


def _timeouts(found: Resource) -> dict[str, float]:
    """Return the timeouts of an object; raise InvalidError for names or values that the protocol does not allow."""
    for name, seconds in found.timeouts.items():
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if name not in _TIMED or not number or not 0 < seconds <= _LONGEST:
            raise InvalidError(
                "Invalid timeout",
                f"{found.type} {found.key} has the timeout {name} = {seconds!r}. Valid are {', '.join(_TIMED)}, "
                f"each in seconds, more than 0 and {_LONGEST} (a year) at most.",
            )
    return dict(found.timeouts)


def _end(found: Iterable[Any]) -> dict[str, Any]:
    end: dict[str, Any] = {"status": "done"}
    released = [[each.type, each.key] for each in found if isinstance(each, Released)]
    notices = [
        {"severity": "warning", "summary": each.summary, "detail": each.detail, "path": each.path}
        for each in found
        if isinstance(each, Notice)
    ]
    if released:
        end["released"] = released
    if notices:
        end["diagnostics"] = notices
    return end


def _line(found: Resource | Stream) -> dict[str, Any]:
    if isinstance(found, Stream):
        return {"stream": found.to_json()}
    resource: dict[str, Any] = {
        "type": found.type,
        "key": found.key,
        "attributes": wrap(found.attributes),
        "depends_on": [list(pair) for pair in found.depends_on],
        "aliases": [list(pair) for pair in found.aliases],
    }
    if found.sensitive:
        resource["sensitive"] = [list(path) for path in found.sensitive]
    if found.timeouts:
        resource["timeouts"] = _timeouts(found)
    lifecycle = {
        "prevent_destroy": found.prevent_destroy,
        "ignore_changes": list(found.ignore_changes),
        "create_before_destroy": found.create_before_destroy,
    }
    if any(lifecycle.values()):
        resource["lifecycle"] = {name: value for name, value in lifecycle.items() if value}
    return {"resource": resource}
