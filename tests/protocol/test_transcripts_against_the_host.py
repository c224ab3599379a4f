"""Golden transcripts of probe, plan, resource sessions and version 1 lifecycle, with the host on its own side.

The provider's side is played by `scripted_provider.py`, which ends with exit code 97 as soon as the host departs from
the transcript. Transcripts of data flows need two providers: `test_transcripts_against_a_run.py` and
`test_input_transcripts_against_a_run.py`.
"""

from __future__ import annotations

import queue
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.lang import from_json_value
from dstream.plugins import (
    Answer,
    Binary,
    LegacyLifecycle,
    PlanRequest,
    PlanSession,
    ProviderInfo,
    ProviderSource,
    Request,
    ResourceSession,
    derive,
    probe,
)
from dstream_sdk.testing import Transcript, matches, read_transcript
from dstream_state import V1_LIFECYCLE

ROOT = Path(__file__).resolve().parents[2] / "providers/protocol/transcripts"
TRANSCRIPTS = {path.stem: read_transcript(path) for path in sorted(ROOT.glob("*.jsonl"))}
SCRIPTED = Path(__file__).with_name("scripted_provider.py")
WAIT = 60.0


def named(*beginnings: str) -> list[str]:
    return [name for name in TRANSCRIPTS if name.startswith(beginnings)]


def binary(transcript: Transcript) -> Binary:
    path = str(ROOT / f"{transcript.name}.jsonl")
    return Binary((sys.executable, str(SCRIPTED), path), ProviderSource("path", path), transcript.name)


def info(transcript: Transcript) -> ProviderInfo:
    roles = frozenset({"input", "output", "resource"})
    return ProviderInfo(transcript.protocol, "scripted", "1", roles, frozenset({"bulk_status"}), None, {}, "digest")


def said(transcript: Transcript, by: str) -> list[dict[str, Any]]:
    return [step.value for step in transcript.steps if step.what == by]


@pytest.mark.parametrize("name", named("probe-"))
def test_the_host_understands_the_answer_to_its_probe(name: str) -> None:
    (answer,) = said(TRANSCRIPTS[name], "provider")
    found = probe(binary(TRANSCRIPTS[name]))
    assert found.protocol == 2
    assert found.roles == frozenset(answer["roles"])
    assert found.capabilities == frozenset(answer["capabilities"])
    assert set(found.resources) == set(answer["schema"]["resources"])


@pytest.mark.parametrize("name", named("plan-", "host-plan-"))
def test_the_host_asks_what_a_task_needs(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    (opening,) = said(transcript, "host")
    lines = said(transcript, "provider")

    def ask() -> Any:
        request = PlanRequest(opening["task"], opening["config"], opening.get("streams"), opening.get("assess"))
        return derive(binary(transcript), info(transcript), opening["role"], request, timeout=WAIT)

    if lines[-1].get("status") not in ("done", "deferred"):
        with pytest.raises(DiagnosticsError) as caught:
            ask()
        assert "departed" not in str(caught.value)
        assert "the host was to do" not in str([each.detail for each in caught.value.diagnostics])
        return
    found = ask()
    assert found.deferred == (tuple(lines[-1]["needs"]) if lines[-1]["status"] == "deferred" else None)
    assert [each.key for each in found.resources] == [line["resource"]["key"] for line in lines if "resource" in line]
    timed = [line["resource"].get("timeouts", {}) for line in lines if "resource" in line]
    assert [each.timeouts.to_json() for each in found.resources] == timed
    assert [each["name"] for each in found.streams] == [line["stream"]["name"] for line in lines if "stream" in line]
    assert [list(pair) for pair in found.released] == lines[-1].get("released", [])
    assert [each.summary for each in found.warnings] == [each["summary"] for each in lines[-1].get("diagnostics", [])]


@pytest.mark.parametrize("name", named("plans-"))
def test_the_host_asks_one_process_what_many_tasks_need(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    opening, *requests = said(transcript, "host")
    session = PlanSession(binary(transcript), info(transcript), opening["role"], WAIT)
    try:
        for request in requests:
            lines = [line for line in said(transcript, "provider") if line.get("id") == request["id"]]
            ask = partial(session.derive, PlanRequest(request["task"], request["config"]))
            if lines[-1]["status"] == "error":
                with pytest.raises(DiagnosticsError) as caught:
                    ask()
                expected = [each["summary"] for each in lines[-1]["diagnostics"]]
                assert [each.summary for each in caught.value.diagnostics] == expected
                continue
            found = ask()
            names = [line["resource"]["key"] for line in lines if "resource" in line]
            assert [each.key for each in found.resources] == names
            assert [list(pair) for pair in found.released] == lines[-1].get("released", [])
    finally:
        session.close()


@pytest.mark.parametrize("name", named("resource-", "host-resource-"))
def test_the_host_holds_a_resource_session(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    opening = said(transcript, "host")[0]
    session = ResourceSession(binary(transcript), info(transcript), opening["config"])
    closing = threading.Thread(target=session.close)
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    progress: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    try:
        session.ready()
        for step in transcript.steps[2:]:
            if step.what == "host" and step.value["command"] == "cancel":
                session.cancel()
            elif step.what == "host":
                session.submit(request(step.value), answers.put, progress.put)
            elif step.what == "provider" and step.value["status"] == "progress":
                assert progress.get(timeout=WAIT).text == step.value["message"]
            elif step.what in ("provider", "provider_any_order"):
                expected = step.value if step.what == "provider_any_order" else [step.value]
                for each in expected:
                    check(each, answers.get(timeout=WAIT))
            elif step.what == "provider_dies":
                answer = answers.get(timeout=WAIT)
                assert answer.crashed
                assert answer.error_class == "fatal"
                assert "the host was to do" not in str(answer.diagnostics)
            elif step.what == "host_closes":
                closing.start()  # returns when everything is answered
    finally:
        session.close()


def request(line: dict[str, Any]) -> Request:
    """Return the request that a host step shows; the host numbers requests itself, from 1."""
    return Request(**{member: value for member, value in line.items() if member != "id"})


def check(expected: dict[str, Any], answer: Answer) -> None:
    assert "the host was to do" not in str(answer.diagnostics)
    assert answer.status == expected["status"], answer
    for member in ("identity", "attributes", "private"):
        if member in expected:
            # Attributes are read: what travels inside of "$object" is an object like any other.
            wanted = from_json_value(expected[member]) if member == "attributes" else expected[member]
            assert matches(wanted, getattr(answer, member))
    if "replace" in expected:
        assert list(answer.replace) == expected["replace"]
    if expected["status"] == "error":
        first = expected["diagnostics"][0]
        assert answer.error_class == first["class"]
        assert answer.diagnostics[0].summary == first["summary"]
        assert answer.retry_after == first.get("retry_after")
    if "objects" in expected:
        assert [each.status for each in answer.objects or ()] == [each["status"] for each in expected["objects"]]


@pytest.mark.parametrize(
    "name", [*named("v1-output-lifecycle", "v1-input-lifecycle", "host-v1-dotnet", "host-v1-no-infrastructure")]
)
def test_the_host_understands_the_lifecycle_of_version_1(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    (opening,) = said(transcript, "host")
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    lifecycle = LegacyLifecycle(binary(transcript), info(transcript), opening["config"])
    command = cast("Any", opening["command"])  # the transcript says which; the host has a closed list of them
    lifecycle.submit(Request(command, type=V1_LIFECYCLE, key="lifecycle", desired={}), answers.put)
    answer = answers.get(timeout=WAIT)
    lifecycle.close()
    assert "the host was to do" not in str(answer.diagnostics)
    assert answer.status == ("error" if name.endswith(("-failed", "-fails")) else "ok"), answer


def test_every_transcript_is_replayed_or_it_is_said_why_not() -> None:
    families = (
        "probe-",
        "plan-",
        "plans-",
        "host-plan-",
        "resource-",
        "host-resource-",
        "v1-output-lifecycle",
        "v1-input-lifecycle",
    )
    others = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*transcripts_against_*.py"))
    left = [name for name in TRANSCRIPTS if f'"{name}"' not in others and f"`{name}`" not in others]
    assert [name for name in left if not name.startswith((*families, "host-v1-dotnet", "host-v1-no-infra"))] == []
