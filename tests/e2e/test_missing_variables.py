"""Commands that evaluate no task need no variables of tasks, and say which variable the backend lacks."""

from pathlib import Path

import pytest

from tests.e2e.commands import dstream
from tests.services.recorder.world import World

A = 'variable "size" {}\n\nresource "rec_planned" "a" {\n  name = "n${var.size}"\n}\n'
BACKEND = 'dstream {\n  backend "local" {\n    path = "${%s}/state.json"\n  }\n}\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.write(A)
    done = dstream(made.folder, "apply", "-auto-approve", "-var", "size=3")
    assert done.code == 0, done.said
    return made


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "state list",
        "state show rec_planned.a",
        "state pull",
        "state history",
        "output",
        "show",
        "graph",
        "workspace list",
        "validate",
        "providers list",
        "init",
        "force-unlock -help",
    ],
)
def test_a_command_on_the_state_needs_no_variable_of_a_task(world: World, command: str) -> None:
    done = dstream(world.folder, *command.split())
    assert done.code == 0, done.said
    assert "Missing variable" not in done.said


@pytest.mark.parametrize("command", ["plan", "drift", "apply -auto-approve", "destroy -auto-approve"])
def test_a_command_that_evaluates_everything_needs_them(world: World, command: str) -> None:
    done = dstream(world.folder, *command.split())
    assert (done.code, "Missing variable" in done.said) == (1, True), done.said


def test_an_object_is_untainted_without_a_variable(world: World) -> None:
    done = dstream(world.folder, "untaint", "rec_planned.a")
    assert "Missing variable" not in done.said


def test_a_backend_that_uses_a_missing_variable_names_it(world: World) -> None:
    world.backend = BACKEND % "var.folder"
    world.write('variable "folder" {}\n' + A)
    done = dstream(world.folder, "state", "list")
    assert done.code == 1
    assert "Missing backend value [DS1241]" in done.said
    assert "var.folder" in done.said
    assert "on dstream.hcl:" in done.said


def test_a_backend_that_uses_a_missing_name_of_the_environment_names_it(world: World) -> None:
    world.backend = BACKEND % 'env("STATE_FOLDER_THAT_IS_NOT_SET")'
    world.write(A)
    done = dstream(world.folder, "state", "list")
    assert done.code == 1
    assert "STATE_FOLDER_THAT_IS_NOT_SET" in done.said


def test_an_undeclared_name_in_an_automatic_file_is_a_warning(world: World) -> None:
    (world.folder / "dstream.dsvars").write_text("size = 3\nsizee = 4\n")
    for command in ("plan", "validate"):
        done = dstream(world.folder, command)
        assert done.code == 0, done.said
        assert "Warning: Undeclared variable [DS1242]" in done.said
        assert 'The variable "sizee" is not declared.' in done.said


def test_what_terraform_would_read_is_named(world: World) -> None:
    (world.folder / "terraform.tfvars").write_text("size = 3\n")
    done = dstream(world.folder, "plan", env={"TF_VAR_size": "3"})
    said = " ".join(done.said.replace("\u2502", " ").split())
    assert "TF_VAR_size is set, and is not read" in said
    assert "terraform.tfvars is not read: rename terraform.tfvars to dstream.dsvars" in said
