"""The kit: probes the provider, then checks the rules of each role that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.diagnostics import DiagnosticsError
from dstream.plugins.binary import Binary, Role
from dstream.plugins.conformance.data_input import check_input
from dstream.plugins.conformance.data_output import check_output
from dstream.plugins.conformance.forking import check_forks
from dstream.plugins.conformance.opening import check_opening
from dstream.plugins.conformance.planning import check_plan
from dstream.plugins.conformance.resources import check_resources
from dstream.plugins.conformance.result import Departed, Result, Skipped, check, require
from dstream.plugins.conformance.sink_view import SinkView
from dstream.plugins.conformance.standing import objects_in_place
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.conformance.version1 import check_version_1
from dstream.plugins.probe import ProviderInfo, probe
from dstream.plugins.wire import decode_object

_DATA_ROLES: tuple[Role, ...] = ("input", "output")


def run_kit(binary: Binary, config: Mapping[str, Any], verify: str | None = None) -> list[Result]:
    """Return the results of all rules that apply, in the order of the rules.

    `config` should point at nothing that matters: data is read from it and written to it, and objects that do not
    exist are created and destroyed. `verify` is a shell command that prints what the output has made durable.
    """
    results = list(_all(binary, config, SinkView(verify)))
    return sorted(results, key=lambda result: (int(result.rule[1:]), result.role))


def _all(binary: Binary, config: Mapping[str, Any], view: SinkView) -> Iterator[Result]:
    yield check("R1", lambda: _probe(binary))
    try:
        info = probe(binary)
    except DiagnosticsError:
        return
    if info.protocol >= 2:
        yield from _version_2(binary, info, config, view)
    yield from check_version_1(binary, info, config)


def _version_2(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], view: SinkView) -> Iterator[Result]:
    if "resource" in info.roles:
        yield from check_opening(binary, info, config, "resource")
        yield from check_resources(binary, info, config)
    for role in _DATA_ROLES:
        if role in info.roles:
            yield from check_plan(binary, info, config, role)
            yield from check_forks(binary, info, config, role)
            with objects_in_place(binary, info, config, role):
                if role == "input":  # first of all: a source that releases too early has less in it each time
                    yield from check_input(binary, info, config)
                yield from check_opening(binary, info, config, role)
                if role == "output":
                    yield from check_output(binary, info, config, view)


def _probe(binary: Binary) -> None:
    with Talk(binary, None, DSTREAM_PROBE="1") as talk:
        talk.close_input()
        lines = talk.rest(5.0)
        form = decode_object(lines[0]) if lines else None
        if form is None or not isinstance(form.get("protocol"), int):
            raise Skipped("it does not answer the probe, so it is taken for version 1")
        require(len(lines) == 1, f"it wrote {len(lines)} lines")
        require(talk.code == 0, f"it exited with {talk.code}")
        provider = form.get("provider")
        named = isinstance(provider, dict) and isinstance(provider.get("name"), str)
        if not named or not isinstance(form.get("roles"), list):
            raise Departed("the answer has no provider.name, or no list of roles")
