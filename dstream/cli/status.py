"""`dstream status`."""

from __future__ import annotations

import json as json_module
import sys

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import paint_for, say
from dstream.cli.render.times import local_time


@click.command("status", cls=Command)
@click.argument("task", required=False)
@config_options
@flag("json", help="Print JSON.")
@flag("watch", help="Show the tasks until Ctrl-C; without a terminal, print each change of a state.")
@flag("detailed", help="Also show checkpoints, processes and objects.")
def command(
    task: str | None,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    json: bool,
    watch: bool,
    detailed: bool,
) -> None:
    """Show deployed objects and running tasks, from the state only. No provider is started."""
    operation = open_for_state(config, var, var_file)
    from dstream.cli.render.run_details import note_lines
    from dstream.engine.runs.status import status

    name = task.removeprefix("task.") if task is not None else None
    if watch:
        if json or detailed:
            raise click.UsageError("-watch cannot be combined with -json or -detailed.")
        from dstream.cli.watch import watch as watch_status

        watch_status(lambda: status(operation, name, containers=False))
        return
    found = status(operation, name, containers=json or detailed)
    if json:
        say(json_module.dumps(found.to_json(), ensure_ascii=False, default=str))
        return
    paint = paint_for(sys.stdout)
    say(
        f"State: {found.place}, serial {found.serial}" + (f", {found.pending} records pending" if found.pending else "")
    )
    if found.holder:
        say(f"Locked by {found.holder}")
    for entry in found.tasks:
        state = paint(
            entry.state, "green" if entry.state == "running" else "yellow" if entry.state != "applied" else "bold"
        )
        say(f"{paint(entry.address, 'bold')}: {state}, {entry.objects} object{'s' if entry.objects != 1 else ''}")
        for flow in entry.flows:
            stored = f"checkpoint of {local_time(flow.checkpoint_at)}" if flow.checkpoint_at else "no checkpoint"
            runner = f", running ({flow.holder})" if flow.holder else ""
            say(
                f"  {flow.name}: {stored}{runner}"
                + (f", {flow.dead_letters} dead letters" if flow.dead_letters else "")
            )
            if detailed and flow.note is not None:
                for line in note_lines(flow.note, running=flow.holder is not None):
                    say(f"    {line}")
            if detailed and flow.position is not None:
                say(f"    position {json_module.dumps(flow.position, ensure_ascii=False, default=str)}")
            if detailed:
                for process in flow.processes:
                    say(f"    process {process}")
                for container in flow.containers:
                    say(f"    {container}")
        if detailed:
            for address in entry.addresses:
                say(f"  {address}")
    if not found.tasks:
        say("The configuration has no tasks.")
    if found.others:
        say(f"{found.others} declared object{'s' if found.others != 1 else ''}")
