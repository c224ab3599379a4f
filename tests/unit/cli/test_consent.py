"""The loss of data is allowed by address: for these objects, and for no others."""

from functools import partial

import pytest

from dstream.cli.main import _run
from tests.services.recorder.in_process import in_process
from tests.services.recorder.provider import recorder
from tests.services.recorder.recorder import ROLES
from tests.services.recorder.world import World

TABLES = """
resource "rec_table" "a" {
  name = "a"
}
resource "rec_table" "b" {
  for_each = { "x y" = 1, "z" = 2 }
  name     = each.key
}
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Three tables that the configuration no longer has."""
    made = World(tmp_path)
    monkeypatch.chdir(tmp_path)
    with in_process({str(made.recorder.bin / name): partial(recorder, role) for name, role in ROLES.items()}):
        made.apply(TABLES)
        made.write("")
        yield made


def test_what_is_not_allowed_is_refused_with_the_options_to_type(world, capsys):
    assert _run(["apply", "-auto-approve", "-allow-data-loss=rec_table.a"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert """'-allow-data-loss=rec_table.b["x y"]' '-allow-data-loss=rec_table.b["z"]'""" in said
    assert "-allow-data-loss=rec_table.a" not in said
    assert world.recorder.names() == ["a", "x y", "z"]
    one = 'rec_table.b["x y"]'
    assert _run(["apply", "-auto-approve", "-allow-data-loss=rec_table.a", f"-allow-data-loss={one}"]) == 1
    assert _run(["apply", "-auto-approve", f"-target={one}", f"-allow-data-loss={one}"]) == 0
    assert world.recorder.names() == ["a", "z"]


@pytest.mark.parametrize(
    "allowed",
    [["=rec_table.a", "=rec_table.b"], [""], ["=true"], ["=rec_table.b", "=rec_table.a", "=rec_table.a"]],
    ids=["blocks", "all", "true", "twice"],
)
def test_a_block_covers_its_instances_and_the_option_alone_all(world, allowed):
    assert _run(["apply", "-auto-approve", *(f"-allow-data-loss{each}" for each in allowed)]) == 0
    assert world.recorder.names() == []


def test_consent_holds_for_a_saved_plan_by_address_too(world, capsys):
    assert _run(["plan", "-out=p.plan"]) == 0
    assert _run(["apply", "p.plan", "-allow-data-loss=rec_table.b"]) == 1
    assert "add -allow-data-loss=rec_table.a." in " ".join(capsys.readouterr().err.split())
    assert _run(["apply", "p.plan", "-allow-data-loss=rec_table.b", "-allow-data-loss=rec_table.a"]) == 0
    assert world.recorder.names() == []


@pytest.mark.parametrize("wrong", ["rec_table", "task", "", "rec_table.b[z]", "*.a"])
def test_what_is_not_an_address_is_an_error(world, wrong, capsys):
    assert _run(["apply", "-auto-approve", f"-allow-data-loss={wrong}"]) == 1
    assert "-allow-data-loss" in capsys.readouterr().err
    assert world.recorder.names() == ["a", "x y", "z"]


def test_consent_without_effect_is_said(world, capsys):
    assert _run(["apply", "-auto-approve", "-allow-data-loss=rec_table.c", "-allow-data-loss"]) == 0
    assert "-allow-data-loss=rec_table.c has no effect" in " ".join(capsys.readouterr().err.split())
    assert _run(["destroy", "-auto-approve", "-allow-data-loss=false"]) == 0


def test_help_lists_the_option_once(capsys):
    assert _run(["apply", "-help"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("-allow-data-loss[=ADDRESS]") == 1 == printed.count("allow-data-loss")


def test_a_prefix_of_a_name_is_no_consent(world):
    world.write(TABLES.replace('"a"', '"ab"', 1))
    assert _run(["apply", "-auto-approve", "-allow-data-loss=rec_table.ab"]) == 1
    assert "a" in world.recorder.names()
