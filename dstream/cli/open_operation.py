"""Opens the operation that the options describe: configuration, variables, state."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from dstream.cli.render.paint import say
from dstream.config import VariableBlock
from dstream.engine.setup.operation import Operation, OperationInputs, open_operation
from dstream.engine.setup.workspace import selected_workspace

if TYPE_CHECKING:
    from dstream.engine.setup.untrusted import Untrusted
    from dstream.plan.file import PlanFile
    from dstream_state import Encryption


def operation_inputs(
    config: str, var: tuple[str, ...], var_file: tuple[str, ...], untrusted: Untrusted | None = None
) -> OperationInputs:
    """Return the options as inputs of an operation; raise ClickException if a `-var` is not NAME=VALUE."""
    variables: dict[str, str] = {}
    for text in var:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            example = f"{text}=VALUE" if text.isidentifier() else "NAME=VALUE"
            raise click.BadParameter(f"{text!r} is not NAME=VALUE; write -var {example}", param_hint="-var")
        variables[name.strip()] = value
    workspace = selected_workspace(None if untrusted is not None else Path(config))
    files = tuple(Path(name) for name in var_file)
    return OperationInputs(Path(config), variables, files, workspace, untrusted=untrusted)


def open_configured(
    config: str, var: tuple[str, ...], var_file: tuple[str, ...], *, ask: bool = False, empty: bool = False
) -> Operation:
    """Load the configuration and return the operation on it; with `ask`, prompt for missing variables.

    With `empty`, a folder without a configuration counts as an empty configuration.
    """
    prompt = ask_for if ask and sys.stdin.isatty() and sys.stderr.isatty() else None
    return open_operation(replace(operation_inputs(config, var, var_file), empty=empty), ask=prompt)


def open_for_state(config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> Operation:
    """Load the configuration and return the operation on it, for a command that evaluates no blocks but the state's.

    A variable without a value is unknown, which is an error only where the `backend` or `encryption` block uses it.
    """
    return open_operation(operation_inputs(config, var, var_file), lint=True)


def is_saved_plan(name: str) -> bool:
    """Return whether an argument names a saved plan; raise ClickException for any other file."""
    from dstream.plan.file import is_plan_file

    path = Path(name)
    if is_plan_file(path):
        return True
    if "[" in name or not ("/" in name or "." in name.removeprefix("task.")):
        return False  # it may be a task
    if not path.exists():
        hint = f"To save a plan: dstream plan -out={name}"
        raise click.ClickException(f"{name} is neither a file nor a task. {hint}")
    if path.is_file():
        raise click.ClickException(f"{name} is not a saved plan. To save one, run: dstream plan -out={name}")
    return False


def open_saved_plan(
    name: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...]
) -> tuple[Operation, PlanFile]:
    """Open the configuration with the variables of a saved plan, and return it with the plan.

    Raise DiagnosticsError if the plan is stale, ClickException if a task has the name of the file.
    """
    from msgspec.structs import replace

    from dstream.engine.plan.plan_file import Command, check_plan_target
    from dstream.plan.file import read_plan_file

    now = operation_inputs(config, var, var_file)
    keys: list[Operation] = []

    def sealer() -> Encryption | None:
        keys.append(open_operation(now, lint=True))
        return keys[0].encryption

    file = read_plan_file(Path(name), sealer)
    command = Command.from_json(file.command)
    inputs = replace(
        now,
        variables={**command.variables, **now.variables},
        variable_files=(*command.variable_files, *now.variable_files),
        planned_at=file.plan.made_at,
    )
    operation = open_operation(inputs)
    if keys:
        operation.take_encryption(keys[0])
    if name.removeprefix("task.") in operation.config.tasks:
        raise click.ClickException(
            f"{name} is both a saved plan and a task. Use ./{name} for the file, or rename the file to apply the task."
        )
    if operation.encryption is not None and not operation.encryption.reads_unencrypted and not file.encrypted:
        from dstream_state import EncryptionRequired

        raise EncryptionRequired(
            f"The saved plan {name} is not encrypted, but the configuration has an `encryption` block. Plan again."
        )
    check_plan_target(operation, file)
    return operation, file


def ask_for(block: VariableBlock) -> str:
    """Prompt for the value of a variable; hide the input for a sensitive one."""
    say(f"var.{block.name}", stream=sys.stderr)
    for line in (block.description or "").splitlines():
        say(f"  │ {line}", stream=sys.stderr)
    text: str = click.prompt("  Value", hide_input=block.sensitive, err=True)
    return text


def task_targets(operation: Operation, task: str | None, target: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets with the given task; raise ClickException if it does not exist."""
    if task is None:
        return target
    name = task.removeprefix("task.")
    bare = name.split("[", 1)[0]
    if bare not in operation.config.tasks:
        from dstream.lang.errors import choose

        if Path(task).exists():
            hint = f"To name a file or folder of the configuration, write: -c {task}"
            raise click.ClickException(f"No task named {name!r}. {hint}")
        raise click.ClickException(f"No task named {name!r}.{choose(bare, operation.config.tasks, 'task')}")
    return (*target, f"task.{name}")
