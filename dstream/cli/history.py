"""`dstream history`: the earlier applies of a state, and one of them."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, config_options, flag, option
from dstream.cli.render.paint import say, say_lines
from dstream.cli.render.times import local_time

if TYPE_CHECKING:
    from dstream.engine.setup.operation import Operation

_PARTS = (
    ("operation", "operation"),
    ("outcome", "outcome"),
    ("who", "who"),
    ("host", "host"),
    ("approval", "approval"),
    ("approved by", "approved_by"),
    ("began", "began"),
    ("ended", "ended"),
    ("commit", "commit"),
    ("run", "run"),
    ("plan", "plan"),
    ("workspace", "workspace"),
    ("dstream", "dstream_version"),
)


@click.command("history", cls=Command)
@config_options
@option("limit", metavar="N", type=click.IntRange(min=1), default=20, help="Show at most N applies. Default: 20.")
@flag("json", help="Print JSON.")
def command(config: str, var: tuple[str, ...], var_file: tuple[str, ...], limit: int, json: bool) -> None:
    """List earlier applies, the newest first: their number, when, who, what changed, plan, commit and outcome.

    To show one of them, run: dstream show -history N
    """
    from dstream.engine.commands.history import receipts

    found = receipts(open_for_state(config, var, var_file), limit)
    if json:
        say(json_module.dumps([{"number": each.number, **each.content} for each in found], default=str))
        return
    if not found:
        say("No apply was recorded yet.")
    say_lines(_line(each.number, each.content) for each in found)


def show(operation: Operation, number: int, *, json: bool) -> None:
    """Print one apply; raise ClickException if there is none with this number."""
    from dstream.engine.commands.history import receipt

    found = receipt(operation, number)
    if json:
        say(json_module.dumps({"number": found.number, **found.content}, default=str))
    else:
        say_lines(_lines(found.content))


def _line(number: int, form: Mapping[str, Any]) -> str:
    if "unreadable" in form:
        return f"{number:>5}  unreadable: {form['unreadable']}"
    counts = form.get("counts") or {}
    changes = " ".join(
        f"{sign}{counts.get(name, 0)}" for sign, name in (("+", "add"), ("~", "change"), ("-", "destroy"))
    )
    commit = str(form.get("commit") or "-")[:10]
    plan = str(form.get("plan") or "-").removeprefix("sha256:")[:10]
    when = local_time(str(form.get("began", "")))
    what = f"{form.get('operation')} {form.get('outcome')}"
    return f"{number:>5}  {when}  {what:<18}  {changes:<12}  plan {plan}  commit {commit:<10}  {form.get('who')}"


def _lines(form: Mapping[str, Any]) -> Iterator[str]:
    for label, name in _PARTS:
        value = form.get(name)
        if value is not None:
            yield f"{label + ':':<13}{local_time(value) if name in ('began', 'ended') else value}"
    before, after = form.get("serial_before"), form.get("serial")
    yield f"{'serial:':<13}{before} -> {'?' if after is None else after}"
    for title, name in (("changes", "changes"), ("tasks", "tasks")):
        if form.get(name):
            yield f"{title}:"
            yield from (f"  {each['address']}: {', '.join(each['actions'])}" for each in form[name])
    if form.get("failed"):
        yield "failed or skipped:"
        yield from (f"  {address}" for address in form["failed"])
    if form.get("left_out"):
        yield f"and {form['left_out']} more addresses"
    if form.get("problems"):
        yield "problems:"
        yield from (f"  {each['address'] or '-'}: {each['summary']}" for each in form["problems"])
