"""History: each apply leaves a receipt, also one that fails or is killed, and none has a secret."""

import json
import re
from functools import partial

import pytest

from dstream.cli.main import _run
from dstream.engine.commands.history import receipts
from dstream.engine.setup.provenance import checkout_commit, provenance
from dstream_state import StateUnavailable
from dstream_state.receipts import StoredReceipts
from tests.services.recorder.in_process import in_process
from tests.services.recorder.provider import recorder
from tests.services.recorder.recorder import ROLES
from tests.services.recorder.world import World

A = 'resource "rec_planned" "a" {\n  name = "a"\n  size = 1\n}\n'
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUNS = [
    (
        {
            "GITHUB_ACTOR": "ann",
            "GITHUB_SHA": COMMIT,
            "GITHUB_SERVER_URL": "https://forge.example",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_RUN_ID": "7",
        },
        "https://forge.example/o/r/actions/runs/7",
    ),
    (
        {"GITLAB_USER_LOGIN": "ann", "CI_COMMIT_SHA": COMMIT, "CI_JOB_URL": "https://lab.example/1"},
        "https://lab.example/1",
    ),
    (
        {
            "BUILD_REQUESTEDFOR": "ann",
            "BUILD_SOURCEVERSION": COMMIT,
            "SYSTEM_COLLECTIONURI": "https://dev.example/o/",
            "SYSTEM_TEAMPROJECT": "p",
            "BUILD_BUILDID": "9",
        },
        "https://dev.example/o/p/_build/results?buildId=9",
    ),
]


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTOR", "GITHUB_SHA", "GITLAB_USER_LOGIN", "CI_COMMIT_SHA", "BUILD_REQUESTEDFOR"):
        monkeypatch.delenv(name, raising=False)
    with in_process({str(made.recorder.bin / name): partial(recorder, role) for name, role in ROLES.items()}):
        yield made


def recorded(world):
    return [each.content for each in receipts(world.operation(), 100)]


def test_a_complete_and_a_failed_apply_are_listed_and_shown(world, capsys, monkeypatch):
    for name, value in {**RUNS[0][0], "DSTREAM_APPROVED_BY": "bob"}.items():
        monkeypatch.setenv(name, value)
    world.write(A)
    assert _run(["plan", "-out=p.plan"]) == 0
    saved = re.search(r"Saved the plan ([0-9a-f]{10}) to p.plan", " ".join(capsys.readouterr().out.split()))
    assert _run(["apply", "p.plan"]) == 0
    world.write(A.replace("1", "2") + 'resource "rec_planned" "b" {\n  name = "b"\n}\n')
    world.recorder.on("create", "any", fail="denied")
    assert _run(["apply", "-auto-approve"]) == 1
    failed, first = recorded(world)
    assert (first["outcome"], first["approval"], first["counts"]["add"]) == ("complete", "saved plan", 1)
    assert first["plan"].startswith(f"sha256:{saved[1]}")
    assert (first["who"], first["approved_by"], first["commit"], first["run"]) == ("ann", "bob", COMMIT, RUNS[0][1])
    assert first["changes"] == [{"address": "rec_planned.a", "actions": ["create"]}]
    assert (failed["outcome"], failed["failed"]) == ("failed", ["rec_planned.b"])
    assert failed["changes"] == [{"address": "rec_planned.a", "actions": ["update"]}]
    assert failed["serial_before"] == first["serial"] and failed["problems"][0]["address"] == "rec_planned.b"
    capsys.readouterr()
    assert _run(["history"]) == 0
    second, newest = capsys.readouterr().out.splitlines()[::-1]
    assert newest.split()[0] == "2" and "apply failed" in newest
    assert "apply complete" in second and "+1 ~0 -0" in second and f"commit {COMMIT[:10]}" in second and "ann" in second
    assert _run(["show", "-history", "1"]) == 0
    shown = capsys.readouterr().out
    assert "rec_planned.a: create" in shown and RUNS[0][1] in shown and "bob" in shown
    assert _run(["history", "-json", "-limit=1"]) == 0
    assert [each["number"] for each in json.loads(capsys.readouterr().out)] == [2]
    for wrong in ("0", "3"):
        assert _run(["show", f"-history={wrong}"]) == 1
        assert "There is no apply" in capsys.readouterr().err


def test_nothing_to_do_and_nothing_approved_leave_no_receipt(world):
    world.apply(A)
    world.apply()
    world.write("")
    assert _run(["apply"]) == 1  # no terminal to ask on
    assert len(recorded(world)) == 1


def test_an_apply_that_breaks_off_leaves_a_receipt_and_a_killed_one_is_unfinished(world, monkeypatch):
    world.write(A)
    monkeypatch.setattr("dstream.engine.apply.apply._perform", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.attempt()
    monkeypatch.setattr("dstream.engine.apply.receipt.ReceiptWriter.broken_off", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        world.attempt()
    assert [each["outcome"] for each in recorded(world)] in (["unfinished", "failed"], ["failed", "unfinished"])


def test_a_receipt_that_cannot_be_written_is_a_warning_of_a_successful_apply(world, monkeypatch):
    def full(*_):
        raise StateUnavailable("The disk is full.")

    monkeypatch.setattr(StoredReceipts, "put", full)
    world.write(A)
    outcome = world.attempt()
    assert not outcome.failed and world.recorder.names() == ["a"]
    (told,) = outcome.diagnostics
    assert told.summary == "Receipt not written" and "The disk is full" in told.detail


def test_a_receipt_has_no_secret_and_is_sealed_with_the_state(world, monkeypatch):
    monkeypatch.setenv("ZONE", "hidden-zone")
    world.apply(A.replace("size", 'zone = env("ZONE")\n  size'))
    (found,) = recorded(world)
    assert "hidden-zone" not in json.dumps(found, default=str)


def test_a_receipt_is_sealed_like_the_state(world, monkeypatch):
    monkeypatch.setenv("PASS", "correct horse battery staple")
    world.backend = 'dstream {\n  encryption {\n    passphrase = env("PASS")\n  }\n}\n'
    world.apply(A)
    (found,) = recorded(world)
    assert found["changes"] == [{"address": "rec_planned.a", "actions": ["create"]}]
    (file,) = (world.folder / ".dstream").rglob("receipts/*")
    assert b"rec_planned" not in file.read_bytes() and b"encrypted" in file.read_bytes()
    file.write_bytes(b'{"format_version": 1, "outcome": "complete"}')
    assert "unreadable" in recorded(world)[0]


def test_a_damaged_or_newer_receipt_is_listed_as_unreadable(world, capsys):
    world.apply(A)
    kept = world.operation().backend.receipts()
    kept._storage.put(f"receipts/{kept.name('zzzzzzzz')}", b"{")
    kept._storage.put(f"receipts/{kept.name('zzzzzzzzz')}9", b'{"format_version": 99}')
    assert _run(["history"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("unreadable") == 2 and "apply complete" in printed


@pytest.mark.parametrize(("environment", "run"), RUNS, ids=["github", "gitlab", "azure"])
def test_pipelines_say_who_and_from_what(environment, run, tmp_path):
    found = provenance(environment, tmp_path)
    assert (found.actor, found.commit, found.run) == ("ann", COMMIT, run)


def test_the_commit_of_a_checkout_is_read_without_git(tmp_path):
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert checkout_commit(tmp_path / "sub") is None
    (git / "packed-refs").write_text(f"# pack-refs\n{COMMIT[::-1]} refs/heads/other\n{COMMIT} refs/heads/main\n")
    assert checkout_commit(tmp_path / "sub") == COMMIT
    (git / "refs" / "heads" / "main").write_text(COMMIT[::-1] + "\n")
    assert checkout_commit(tmp_path) == COMMIT[::-1]
    (git / "HEAD").write_text(COMMIT)
    assert checkout_commit(tmp_path) == COMMIT
    for odd in ("ref: ../../../etc/passwd", "", "nonsense", "\x00"):
        (git / "HEAD").write_text(odd)
        assert checkout_commit(tmp_path) is None


def test_old_receipts_go_and_five_hundred_stay(world, monkeypatch):
    world.apply(A)
    kept = world.operation().backend.receipts()
    for number in range(503):
        kept._storage.put(f"receipts/2001010{number % 9 + 1}T000000000Z-{number:08d}", b"{}")
    kept.prune()
    assert len(kept.names()) == 500
