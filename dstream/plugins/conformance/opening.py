"""Rules about the opening of a session: R2 to R5, R7 to R10, in each role."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dstream.plugins.binary import Binary
from dstream.plugins.conformance.result import Departed, Result, Skipped, check, require
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.wire import decode_object, encode

_SECRET = "c0nf0rmance-s3cret"  # noqa: S105 - a made-up value that must not appear anywhere


def opening_line(info: ProviderInfo, role: str, config: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """Return the opening line of a session in `role`."""
    form: dict[str, Any] = {"command": "serve" if role == "resource" else "run", "protocol": 2, "role": role}
    if role != "resource":
        form |= {"task": "conformance", "acks": "checkpoint" in info.capabilities}
    return {**form, "config": config, **members}


def check_opening(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> Iterator[Result]:
    """Check the rules of openings in `role`."""

    def ready() -> None:
        with Talk(binary, opening_line(info, role, config)) as talk:
            _answer(talk, expect_ready=True)

    first = check("R7", ready, role)
    yield first
    if first.outcome != "passed":
        yield Result("R10", "skipped", "it does not get ready with this configuration", role)
    else:
        yield check("R3", lambda: _unknown_members(binary, info, config, role), role)
        yield check("R5", lambda: _mark_and_crlf(binary, info, config, role), role)
        yield check("R10", lambda: _end(binary, info, config, role), role)
    yield check("R4", lambda: _unknown_command(binary, config, role), role)
    yield check("R8", lambda: _wrong(binary, info, config, role), role)
    yield check("R9", lambda: _secret(binary, info, config, role), role)


def _answer(talk: Talk, *, expect_ready: bool) -> dict[str, Any]:
    form = talk.object("answer to its opening line", 30.0)
    status = form.get("status")
    if status == "error":
        found = form.get("diagnostics")
        require(isinstance(found, list) and bool(found), "its error carries no diagnostics")
        if expect_ready:
            raise Skipped(f"it refuses this configuration: {found}")
    else:
        require(status == "ready", f"it answered with status {status!r}")
    return form


def _unknown_members(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    with Talk(binary, opening_line(info, role, config, x_not_known={"a": [1]})) as talk:
        require(_answer(talk, expect_ready=False)["status"] == "ready", "it refuses another member")


def _mark_and_crlf(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    line = b"\xef\xbb\xbf" + encode(opening_line(info, role, config)).rstrip(b"\n") + b"\r\n"
    with Talk(binary, line) as talk:
        require(_answer(talk, expect_ready=False)["status"] == "ready", "it refuses an opening line with BOM and CRLF")


def _end(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    with Talk(binary, opening_line(info, role, config)) as talk:
        _answer(talk, expect_ready=True)
        talk.close_input()
        talk.rest()


def _unknown_command(binary: Binary, config: Mapping[str, Any], role: str) -> None:
    opening = {"command": "x-not-known", "protocol": 2, "role": role, "task": "conformance", "config": config}
    with Talk(binary, opening) as talk:
        talk.close_input()
        form = talk.object("answer to an unknown command")
        require(form.get("status") == "error", f"it answered an unknown command with {form}")


def _wrong(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    properties = (info.config_schema or {}).get("properties")
    if not isinstance(properties, dict) or not properties:
        raise Skipped("its schema names no settings")
    # An object is a wrong value for every setting whose schema does not speak of objects.
    typed = [name for name, each in properties.items() if '"object"' not in json.dumps(each, default=str)]
    if not typed:
        raise Skipped("no setting has a type that a wrong value could be given for")
    with Talk(binary, opening_line(info, role, {**config, typed[0]: {"wrong": True}})) as talk:
        form = _answer(talk, expect_ready=False)
        require(form["status"] == "error", f"it accepts an object for {typed[0]}")
        found = [each for each in form["diagnostics"] if isinstance(each, dict)]
        if not any(each.get("class") == "invalid" and typed[0] in str(each.get("path")) for each in found):
            raise Departed(f"no diagnostic of class invalid names {typed[0]}: {found}")


def _secret(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], role: str) -> None:
    properties = (info.config_schema or {}).get("properties")
    items = properties.items() if isinstance(properties, dict) else ()
    names = [name for name, each in items if isinstance(each, dict) and each.get("x-sensitive") is True]
    texts = [name for name in names if isinstance(properties, dict) and _takes_text(properties[name])]
    if not texts:
        raise Skipped("its schema has no sensitive text")
    with Talk(binary, opening_line(info, role, {**config, **dict.fromkeys(texts, _SECRET)})) as talk:
        talk.line(5.0)
        talk.close_input()
        talk.until(lambda _line: False, 5.0)
        shown = b"\n".join(talk.received).decode("utf-8", "replace") + talk.stderr
        require(_SECRET not in shown, f"the value of {', '.join(texts)} appears in what it writes")


def _takes_text(schema: Mapping[str, Any]) -> bool:
    """Return whether the JSON Schema of a setting allows a string."""
    types = schema.get("type")
    if isinstance(types, str | list):
        return "string" in types if isinstance(types, list) else types == "string"
    choices = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    return any(isinstance(each, dict) and _takes_text(each) for each in choices)


def first_object(line: bytes | None) -> dict[str, Any]:
    """Return the object on a line, empty if there is none."""
    return (decode_object(line) if line is not None else None) or {}
