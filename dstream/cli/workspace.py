"""`dstream workspace`: list, show, new, select, delete."""

from __future__ import annotations

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, Group, config_options, flag
from dstream.cli.render.paint import say


@click.group("workspace", cls=Group)
def command() -> None:
    """Manage several states of one configuration, such as one for each environment."""


@command.command("list", cls=Command)
@config_options
@flag("json", help="Print JSON.")
def list_(config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """List the workspaces. An asterisk marks the selected one."""
    operation = open_for_state(config, var, var_file)
    from dstream.engine.setup.workspace import workspaces

    names = workspaces(operation)
    if json:
        from dstream.cli.render.formats import say_json

        say_json({"workspaces": names, "selected": operation.workspace})
        return
    for name in names:
        say(f"{'*' if name == operation.workspace else ' '} {name}")


@command.command("show", cls=Command)
@config_options
def show(config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> None:
    """Show the name of the selected workspace."""
    from pathlib import Path

    from dstream.engine.setup.workspace import selected_workspace

    say(selected_workspace(Path(config)))


@command.command("new", cls=Command)
@click.argument("name")
@config_options
def new(name: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> None:
    """Create a workspace with an empty state, and select it."""
    operation = open_for_state(config, var, var_file)
    from dstream.engine.setup.workspace import new_workspace

    new_workspace(operation, name)
    say(f"Created and selected the workspace {name}. Its state is empty.")


@command.command("select", cls=Command)
@click.argument("name")
@config_options
@flag("or-create", help="Create it if it does not exist.")
def select(name: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], or_create: bool) -> None:
    """Select a workspace for further commands in this folder."""
    operation = open_for_state(config, var, var_file)
    from dstream.engine.setup.workspace import select_workspace

    made = select_workspace(operation, name, create=or_create)
    say(f"Selected the workspace {name}." + (" It is new, and its state is empty." if made else ""))


@command.command("delete", cls=Command)
@click.argument("name")
@config_options
@flag("force", help="Also delete a workspace with objects. They keep existing and are no longer managed.")
def delete(name: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], force: bool) -> None:
    """Delete a workspace, with its checkpoints and history."""
    operation = open_for_state(config, var, var_file)
    from dstream.engine.setup.workspace import delete_workspace

    delete_workspace(operation, name, force=force)
    say(f"Deleted the workspace {name}.")
