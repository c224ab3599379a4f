"""`dstream providers`: find, fetch, lock, publish, mirror, create and test providers. One file for each command."""

from __future__ import annotations

import importlib

import click

from dstream.cli.options import Group

_COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("list", "List configured, locked, cached and installed providers"),
    "search": ("search", "Search the index of providers, or a registry"),
    "pull": ("pull", "Fetch a provider into the cache"),
    "lock": ("lock", "Write the dependency lock file"),
    "publish": ("publish", "Push a provider to a registry"),
    "sign": ("sign", "Sign a provider in a registry with a key"),
    "mirror": ("mirror", "Copy locked providers to a folder or a registry"),
    "prune": ("prune", "Remove unused providers from the cache"),
    "new": ("new", "Create a provider package"),
    "schema": ("schema", "Show the schemas of providers"),
    "test": ("test", "Test a provider against the protocol"),
}


class _Lazy(Group):
    """A group that imports a command when it is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(f"dstream.cli.providers.{entry[0]}").command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group("providers", cls=_Lazy)
def command() -> None:
    """Find, fetch, lock, publish, mirror, create and test providers."""
