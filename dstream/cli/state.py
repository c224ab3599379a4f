"""`dstream state`: list, show, mv, rm, pull, push, history, restore, repair, migrate."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, Group, config_options, flag, lock_options, option, seconds
from dstream.cli.render.paint import paint_for, say
from dstream.cli.render.terminal import confirm, put_exact
from dstream.cli.render.times import local_time

if TYPE_CHECKING:
    from dstream.cli.render.progress import Lines
from dstream_state import Snapshot


@click.group("state", cls=Group)
def command() -> None:
    """Inspect and edit the state."""


def _snapshot(config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> Snapshot:
    from dstream.engine.commands.plan import current_state

    return current_state(open_for_state(config, var, var_file))[0]


@command.command("list", cls=Command)
@click.argument("prefix", required=False, metavar="[ADDRESS]")
@config_options
@flag("json", help="Print JSON.")
def list_(prefix: str | None, config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """List the addresses of all objects, or of those under ADDRESS."""
    snapshot = _snapshot(config, var, var_file)
    found = [
        address
        for address in sorted(snapshot.resources)
        if prefix is None or address == prefix or address.startswith((f"{prefix}.", f"{prefix}["))
    ]
    if json:
        say(json_module.dumps(found, ensure_ascii=False))
        return
    for address in found:
        status = snapshot.resources[address].status
        say(address if status == "ok" else f"{address} ({status})")


@command.command("show", cls=Command)
@click.argument("address")
@config_options
@flag("json", help="Print JSON.")
def show(address: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """Show one object as last applied. Sensitive values are hidden."""
    from dstream.cli.render.formats import say_json
    from dstream.cli.render.state import hidden, object_lines
    from dstream.plan.plan import known

    snapshot = _snapshot(config, var, var_file)
    item = snapshot.resources.get(address)
    if item is None:
        import difflib

        near = difflib.get_close_matches(address, list(snapshot.resources), n=1)
        hint = f" Did you mean {near[0]}?" if near else " Run `dstream state list` to see all addresses."
        raise click.ClickException(f"The state has no {address}.{hint}")
    if json:
        form = {
            "address": address,
            "type": item.type,
            "provider": item.provider,
            "status": item.status,
            "identity": item.identity,
            "attributes": known(hidden(item)),
            "dependencies": list(item.dependencies),
        }
        say_json(form)
        return
    for line in object_lines(address, item, paint_for(sys.stdout)):
        say(line)


@command.command("mv", cls=Command)
@click.argument("source")
@click.argument("target")
@config_options
@lock_options
def mv(
    source: str, target: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], lock_timeout: str
) -> None:
    """Move an object, a block or a task from SOURCE to the address TARGET. A `moved` block does this in every state."""
    from dstream.engine.commands.state_edit import move

    operation = open_for_state(config, var, var_file)
    for old, new in move(operation, source, target, seconds(lock_timeout, "-lock-timeout"), _lines()):
        say(f"{old} -> {new}")


@command.command("rm", cls=Command)
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@config_options
@lock_options
def rm(
    addresses: tuple[str, ...], config: str, var: tuple[str, ...], var_file: tuple[str, ...], lock_timeout: str
) -> None:
    """Remove objects from the state. They keep existing and are no longer managed."""
    from dstream.engine.commands.state_edit import forget

    operation = open_for_state(config, var, var_file)
    for address in forget(operation, list(addresses), seconds(lock_timeout, "-lock-timeout"), _lines()):
        say(f"Removed {address}")


@command.command("pull", cls=Command)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@config_options
def pull_(file: Path | None, config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> None:
    """Write state and checkpoints to FILE, readable only by you; without FILE, to standard output."""
    from dstream.engine.commands.state_edit import pull, pull_bytes

    operation = open_for_state(config, var, var_file)
    if file is None:
        put_exact(pull_bytes(operation).decode().rstrip("\n") + "\n")
        return
    pull(operation, file)
    say(f"Wrote {file}.")


@command.command("push", cls=Command)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@config_options
@lock_options
@flag("force", help="Ignore a different lineage or a newer serial, and replace checkpoints.")
def push_(
    file: Path, config: str, var: tuple[str, ...], var_file: tuple[str, ...], lock_timeout: str, force: bool
) -> None:
    """Replace the state by FILE, which `state pull` wrote, or by errored.dsstate."""
    from dstream.engine.commands.state_edit import push_file

    operation = open_for_state(config, var, var_file)
    pushed = push_file(operation, file, seconds(lock_timeout, "-lock-timeout"), _lines(), force=force)
    say(f"The state is now {file}, serial {pushed.snapshot.serial}.")
    for task in pushed.stored:
        say(f"Task {task} continues from the checkpoint in the file.")
    for task in pushed.kept:
        say(f"Task {task} keeps its checkpoint, which differs from that in the file. To replace it, use -force.")


@command.command("history", cls=Command)
@config_options
@flag("json", help="Print JSON.")
def history_(config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """List the earlier snapshots."""
    from dstream.engine.commands.state_edit import history

    entries = history(open_for_state(config, var, var_file))
    if json:
        say(json_module.dumps([{"serial": entry.serial, "at": entry.at, "size": entry.size} for entry in entries]))
        return
    if not entries:
        say("No earlier snapshots found.")
    for entry in entries:
        say(f"{entry.serial:>6}  {local_time(entry.at)}  {entry.size} bytes")


@command.command("restore", cls=Command)
@click.argument("serial", type=int)
@config_options
@lock_options
@flag("force", help="Do not ask for confirmation.")
def restore_(
    serial: int, config: str, var: tuple[str, ...], var_file: tuple[str, ...], lock_timeout: str, force: bool
) -> None:
    """Restore an earlier snapshot. Objects do not change; run `dstream plan` to see the differences."""
    from dstream.engine.commands.state_edit import restore_snapshot

    operation = open_for_state(config, var, var_file)
    if not force:
        confirm(f"Restore snapshot {serial}? Changes applied since are no longer recorded.")
    snapshot = restore_snapshot(operation, serial, seconds(lock_timeout, "-lock-timeout"), _lines())
    say(f"Restored snapshot {serial} as serial {snapshot.serial}.")


@command.command("repair", cls=Command)
@config_options
@lock_options
@flag("force", help="Do not ask for confirmation.")
def repair_(config: str, var: tuple[str, ...], var_file: tuple[str, ...], lock_timeout: str, force: bool) -> int:
    """Find what is damaged or missing in the stored state, and make it usable again. Objects do not change."""
    from dstream.engine.commands.state_repair import examine, repair

    operation = open_for_state(config, var, var_file)
    found = examine(operation)
    if not found.problems:
        say("The state is not damaged.")
        return 0
    for problem in found.problems:
        say(f"Problem: {problem}.")
    for step in found.steps:
        say(f"Repair: {step}.")
    if not force:
        confirm("Repair the state like this? What cannot be used is kept beside it, as aside/...")
    snapshot = repair(operation, found, seconds(lock_timeout, "-lock-timeout"), _lines())
    say(f"Repaired the state: serial {snapshot.serial}, {len(snapshot.resources)} objects. Run `dstream plan` next.")
    return 0


@command.command("migrate", cls=Command)
@config_options
@lock_options
@option("from", metavar="TYPE", required=True, help="The backend to move from: local, azurerm or an installed one.")
@option("from-config", metavar="FILE|KEY=VALUE", multiple=True, help="Its arguments, as in a backend block.")
def migrate_(config: str, var: tuple[str, ...], var_file: tuple[str, ...], lock_timeout: str, **more: Any) -> None:
    """Move state, workspaces, history, checkpoints and dead letters from another backend to the configured one."""
    from dstream.cli.render.moves import say_moves
    from dstream.engine.commands.backend_change import migrate_from, read_settings

    operation = open_for_state(config, var, var_file)
    settings = read_settings(more["from_config"])
    timeout = seconds(lock_timeout, "-lock-timeout")
    say_moves(migrate_from(operation, more["from"], settings, timeout, _lines().waiting), operation.backend)


def _lines() -> Lines:
    from dstream.cli.render.progress import Lines

    return Lines(paint_for(sys.stdout))
