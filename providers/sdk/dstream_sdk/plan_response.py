"""Plan response: the answer to `plan` of a data role, with required objects and the streams of an input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dstream_sdk.channel import Writer, encode, wrap
from dstream_sdk.errors import Deferred, InvalidError
from dstream_sdk.handshake import refuse
from dstream_sdk.input import Input
from dstream_sdk.model import Notice, PlanContext, Released, Resource, Stream
from dstream_sdk.output import Output, streams_of
from dstream_sdk.settings import decode


def derive(
    part: Input[Any] | Output[Any] | None,
    config: type[Any],
    opening: Mapping[str, Any],
    given: Mapping[str, Any],
    writer: Writer,
) -> int:
    """Write the objects and streams that `part` plans, and the status; return the exit code.

    Nothing is written before the plan is complete.
    """
    if part is None:
        return refuse(writer, InvalidError("No such role", "the provider does not have it"))
    context = PlanContext(str(opening.get("task") or ""), streams_of(opening))
    try:
        found: Iterable[Any] = list(part.plan(decode(config, given), context))
        lines = [_line(each) for each in found if isinstance(each, Resource | Stream)]
    except Deferred as deferred:
        writer.send(encode({"status": "deferred", "needs": list(deferred.needs)}))
        return 0
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is the answer, and the host proposes nothing
        refuse(writer, problem)
        return 0
    for line in lines:
        writer.put(line + b"\n")
    writer.send(encode(_end(found)))
    return 0


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


def _line(found: Resource | Stream) -> bytes:
    if isinstance(found, Stream):
        return encode({"stream": found.to_json()})
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
    return encode({"resource": resource})
