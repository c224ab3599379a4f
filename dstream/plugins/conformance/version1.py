"""Rules about version 1: R60 to R62 for a version 2 provider, and what can be checked of a version 1 provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.plugins.binary import Binary
from dstream.plugins.conformance.result import Departed, Result, Skipped, check, require
from dstream.plugins.conformance.resuming import CHECKPOINT, END
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.conformance.wire_records import envelope
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.redact import Redactor
from dstream.plugins.v1_lifecycle import parse_legacy_answer
from dstream.plugins.wire import decode_object


def check_version_1(binary: Binary, info: ProviderInfo, config: Mapping[str, Any]) -> Iterator[Result]:
    """Check the rules of version 1. A provider without version 2 may be an input, so it is only ever sent `run`."""
    if info.protocol < 2:
        yield check("R60", lambda: _runs(binary, config))
        yield Result("R61", "skipped", "nothing says that this is an output, and an input only ever gets run")
        return
    if "input" in info.roles:
        yield check("R60", lambda: _plain(binary, {"command": "run", "config": config}), "input")
        yield check("R62", lambda: _bare(binary, config), "input")
    if "output" in info.roles:
        yield check("R60", lambda: _takes(binary, config), "output")
        yield check("R61", lambda: _lifecycle(binary, config), "output")


def _plain(binary: Binary, opening: Mapping[str, Any]) -> None:
    with Talk(binary, opening) as talk:
        talk.close_input()
        if not talk.until(lambda line: b'"data"' in line, 5.0):
            raise Skipped("its source delivers nothing")
        for line in talk.received:
            require(not line.startswith((CHECKPOINT, END)), f"it wrote {line[:200]!r}")


def _bare(binary: Binary, config: Mapping[str, Any]) -> None:
    if not config:
        raise Skipped("an empty configuration says nothing")
    _plain(binary, config)


def _takes(binary: Binary, config: Mapping[str, Any]) -> None:
    with Talk(binary, {"command": "run", "config": config}) as talk:
        talk.send(envelope(1))
        talk.close_input()
        answers = talk.rest(20.0)
        require(talk.code == 0, f"it exited with {talk.code}{talk.why()}")
        for line in answers:
            require(not line.startswith((CHECKPOINT, b'{"reject":')), f"it wrote {line[:200]!r}")


def _lifecycle(binary: Binary, config: Mapping[str, Any]) -> None:
    with Talk(binary, {"command": "status", "config": config}) as talk:
        talk.close_input()
        answers = talk.rest(30.0)
        if parse_legacy_answer(b"\n".join(answers), Redactor()) is None:
            raise Departed(f"it answered status with no object that has a status: {answers[:3]}")
        for line in answers:
            form = decode_object(line)
            require(form is None or "data" not in form, f"it wrote a line of data: {line[:200]!r}")


def _runs(binary: Binary, config: Mapping[str, Any]) -> None:
    """Hold whatever it is to `run`: it may stream, or read what it is given; both are fine."""
    with Talk(binary, {"command": "run", "config": config}) as talk:
        talk.close_input()
        first = talk.line(5.0)
        form = decode_object(first) if first is not None else None
        lowered = {name.lower(): value for name, value in form.items()} if form is not None else {}
        if str(lowered.get("status")).lower() == "error":
            raise Skipped(f"it refuses this configuration: {lowered.get('message') or lowered.get('error')}")
