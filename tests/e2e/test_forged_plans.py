"""A saved plan from a stranger: whatever it holds, it is an error in a sentence, and nothing is changed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import dstream
from tests.services.recorder.world import World

A = 'resource "rec_planned" "a" {\n  name = "a"\n  note = env("NOTE")\n}\n'
FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "answers of another type": lambda form: form.update(answers=[1]),
    "no answers": lambda form: form.update(answers={}),
    "values of another type": lambda form: form["answers"].update(dict.fromkeys(form["answers"], 7)),
    "a command of another type": lambda form: form.update(command="rm -rf"),
    "options of another type": lambda form: form["command"].update(dict.fromkeys(form["command"], 7)),
    "a plan of another type": lambda form: form.update(plan=[]),
    "changes of another type": lambda form: form["plan"].update(resource_changes={"a": 1}),
    "tasks of another type": lambda form: form["plan"].update(task_changes=[{"address": 1}]),
    "variables of another type": lambda form: form["plan"].update(variables=[1]),
    "no provider": lambda form: form["made_from"].update(providers={}),
    "providers of another type": lambda form: form["made_from"].update(providers=3),
    "nothing it was made from": lambda form: form.update(made_from={}),
    "another object": lambda form: form["plan"]["resource_changes"][0].update(address="rec_planned.b"),
    "a digest that takes hours": lambda form: form["secrets"].update(p=2**20),
    "a digest that takes all memory": lambda form: form["secrets"].update(n=2**40),
    "a digest with other costs": lambda form: form["secrets"].update(n="many"),
    "a salt that is no number": lambda form: form["secrets"].update(salt="salt"),
    "no digest": lambda form: form.update(secrets={}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, bytes]:
    world = World(tmp_path_factory.mktemp("saved"))
    world.write(A)
    done = dstream(world.folder, "plan", "-out", "p.plan", env={"NOTE": "a secret note"})
    assert done.code == 0, done.said
    return world, (world.folder / "p.plan").read_bytes()


def forge(path: Path, original: bytes, change: Callable[[dict[str, Any]], object]) -> None:
    """Write a saved plan with other content, and the digest that it then has."""
    head, body = (json.loads(line) for line in original.splitlines())
    change(body)
    text = json.dumps(body).encode()
    head["sha256"] = hashlib.sha256(text).hexdigest()
    path.write_bytes(json.dumps(head, separators=(",", ":")).encode() + b"\n" + text + b"\n")


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_plan_is_refused_and_changes_nothing(
    saved: tuple[World, bytes], change: Callable[[dict[str, Any]], object]
) -> None:
    world, original = saved
    forge(world.folder / "forged.plan", original, change)
    done = dstream(world.folder, "apply", "forged.plan", env={"NOTE": "a secret note"})
    assert done.code == 1, done.said
    assert "Error: " in done.err
    assert "bug in dstream" not in done.said and "a secret note" not in done.said
    assert world.recorder.objects() == {}


def test_the_plan_that_was_not_forged_is_applied(saved: tuple[World, bytes]) -> None:
    world, original = saved
    forge(world.folder / "own.plan", original, lambda form: None)
    done = dstream(world.folder, "apply", "own.plan", env={"NOTE": "a secret note"})
    assert done.code == 0, done.said
    assert world.recorder.names() == ["a"]
