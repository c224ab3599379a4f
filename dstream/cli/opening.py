"""From options to an operation: the configuration, its variables, its state."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dstream.config import VariableBlock
from dstream.engine.operation import Given, Operation, open_operation


def given(config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> Given:
    """Return what the user gave; raise ClickException where `-var` is not NAME=VALUE."""
    variables: dict[str, str] = {}
    for text in var:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="-var")
        variables[name.strip()] = value
    return Given(Path(config), variables, tuple(Path(name) for name in var_file), workspace())


def workspace() -> str:
    """Return the name of the selected workspace."""
    import os

    return os.environ.get("DSTREAM_WORKSPACE") or "default"


def opened(config: str, var: tuple[str, ...], var_file: tuple[str, ...], *, ask: bool = False) -> Operation:
    """Load the configuration and return the operation on it; `ask`: for missing variables, on a terminal."""
    asking = ask_for if ask and sys.stdin.isatty() and sys.stderr.isatty() else None
    return open_operation(given(config, var, var_file), ask=asking)


def ask_for(block: VariableBlock) -> str:
    """Ask the user for the value of a variable; what is typed for a sensitive one is not shown."""
    description = f"\n  {block.description}" if block.description else ""
    text: str = click.prompt(f"var.{block.name}{description}\n  Value", hide_input=block.sensitive, err=True)
    return text


def task_targets(operation: Operation, task: str | None, target: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets, with the task that the user named among them; raise ClickException if there is none."""
    if task is None:
        return target
    name = task.removeprefix("task.")
    bare = name.split("[", 1)[0]
    if bare not in operation.config.tasks:
        known = ", ".join(sorted(operation.config.tasks)) or "none"
        raise click.ClickException(f"There is no task {name!r} in the configuration. Tasks: {known}.")
    return (*target, f"task.{name}")
