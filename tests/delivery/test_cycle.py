"""Plan comment, approval, apply of that plan, a change from outside, drift issue, apply, closed issue; twice."""

import re
from functools import partial
from pathlib import Path

import pytest

from dstream.cli.main import _run
from dstream.engine.commands.history import receipts
from tests.delivery import stand_in
from tests.services.recorder.in_process import in_process
from tests.services.recorder.provider import recorder
from tests.services.recorder.recorder import ROLES
from tests.services.recorder.world import World

BRANCH = 'resource "rec_planned" "a" {\n  name = "a"\n  size = 1\n}\n'


@pytest.fixture
def forge(monkeypatch):
    with stand_in.forge(gitlab=False) as (served, environment):
        for name in ("GITLAB_CI", "CI_MERGE_REQUEST_IID", "GITHUB_EVENT_PATH", "GITEA_ACTIONS", "GITHUB_SHA"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**environment, "GITHUB_ACTOR": "ann", "DSTREAM_APPROVED_BY": "bob"}.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path)
    monkeypatch.chdir(tmp_path)
    with in_process({str(made.recorder.bin / name): partial(recorder, role) for name, role in ROLES.items()}):
        yield made


@pytest.fixture
def dstream(world, capsys):
    def call(*words, into=None, code=0):
        capsys.readouterr()
        assert _run(list(words)) == code, capsys.readouterr()
        out = capsys.readouterr().out
        if into:
            Path(into).write_text(out)
        return out

    return call


def test_from_a_branch_to_a_closed_issue_and_again_with_nothing_to_say(world, forge, dstream):
    def plan_comment():
        dstream("plan", "-format=markdown", "-out=reviewed.plan", into="plan.md")  # as the action does
        assert dstream("show", "-format=html", "reviewed.plan").lower().startswith("<!doctype html>")
        return dstream("ci", "comment", "plan.md", "-request", "7")

    def drift_issue(code):
        dstream("drift", "-format=markdown", into="drift.md", code=code)
        return dstream("ci", "issue", *(["drift.md"] if code == 2 else ["-close"]))

    world.write(BRANCH)
    assert plan_comment() == "Comment created.\n"
    (comment,) = forge.comments
    assert "1 to add" in comment["body"]
    assert "rec_planned.a" in comment["body"]
    dstream("apply", "reviewed.plan")
    assert drift_issue(0) == "Issue unchanged.\n"
    assert forge.issues == []

    world.recorder.put("rec_planned", "a", size=9)  # someone changes the world
    assert drift_issue(2) == "Issue created.\n"
    assert drift_issue(2) == "Issue unchanged.\n"
    assert "rec_planned.a" in forge.issues[0]["body"]
    dstream("apply", "-auto-approve")
    assert drift_issue(0) == "Issue closed.\n"
    assert forge.open_issues() == []

    assert plan_comment() == "Comment updated.\n"  # no changes any more
    writes = len(forge.writes())
    assert plan_comment() == "Comment unchanged.\n"
    dstream("apply", "reviewed.plan")
    assert drift_issue(0) == "Issue unchanged.\n"
    assert len(forge.writes()) == writes
    assert len(forge.comments) == 1

    found = [each.content for each in receipts(world.operation(), 100)]
    assert found[-1]["approved_by"] == "bob"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", found[-1]["plan"])
