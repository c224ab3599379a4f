"""A full disk, or one that must not be written, below the commands that show something: a sentence, and never a bug."""

import errno
import io
import sys

import pytest

from dstream.cli import watch
from tests.unit.cli.mistakes import TASK

COMMANDS = ("help", "help plan", "plan -concise", "apply -auto-approve -concise", "status", "status -watch", "output")
REFUSALS = {errno.ENOSPC: "No space left", errno.EACCES: "Access denied by the system", errno.EDQUOT: "No space left"}


class Refusing(io.StringIO):
    """A file that the system lets nobody write to."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, "refused")


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
@pytest.mark.parametrize("typed", COMMANDS)
def test_output_that_cannot_be_written_is_reported_as_what_it_is(typed, number, run, tmp_path, monkeypatch):
    assert run("a", {"dstream.hcl": TASK}, ["apply", "-auto-approve"])[0] == 0
    before = sorted(path.name for path in (tmp_path / "a").rglob("*"))
    monkeypatch.setattr(sys, "stdout", Refusing(number))
    monkeypatch.setattr(watch, "INTERVAL", 0.0)
    code, _, err = run("a", {}, typed.split())
    said = " ".join(err.split())
    assert code == 1 and REFUSALS[number] in said and "bug in dstream" not in said
    assert sorted(path.name for path in (tmp_path / "a").rglob("*")) == before
