"""Prompts without a terminal: the message names the option that answers, and nothing was done."""

import io
import sys

import pytest

from dstream.engine.setup.operation import OperationInputs, open_operation
from tests.unit.cli.mistakes import TASK

FILES = {"dstream.hcl": TASK}


@pytest.fixture
def applied(run, tmp_path):
    """An applied task with a checkpoint; returns what opens its state."""
    assert run("a", FILES, ["apply", "-auto-approve"])[0] == 0
    return lambda: open_operation(OperationInputs(config=tmp_path / "a")).backend


@pytest.mark.parametrize("words", (["checkpoint", "reset", "copy"], ["state", "restore", "1"]), ids=" ".join)
def test_without_an_answer_the_command_says_that_it_needs_force(words, run, applied, monkeypatch):
    serial = applied().read().snapshot.serial
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, _, err = run("a", FILES, words)
    assert code == 1 and "standard input is not a terminal. To confirm, add -force." in err
    assert applied().read().snapshot.serial == serial


def test_a_lock_stays_without_an_answer(run, applied, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with applied().lock("apply") as held:
        code, _, err = run("a", FILES, ["force-unlock", held.holder.id])
        assert code == 1 and "add -force" in err
        assert applied().is_locked()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130)])
def test_an_answer_from_a_pipe_counts(answer, code, run, applied, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert run("a", FILES, ["checkpoint", "reset", "copy"])[0] == code


def test_approval_and_variables_name_their_options_too(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    for words in (["apply"], ["destroy"], ["run", "copy", "-apply"]):
        code, _, err = run("b", FILES, words)
        assert (code, "-auto-approve" in err) in ((1, True), (0, False)), words
    code, _, err = run("c", {"dstream.hcl": 'variable "v" {}\noutput "o" {\n  value = var.v\n}\n'}, ["plan"])
    assert code == 1 and "-var v=VALUE" in err
