"""`dstream state list` and `dstream state show`."""

from __future__ import annotations

import json as json_module
import sys

import click

from dstream.cli.opening import opened
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import paint_for, say
from dstream_state import ObjectState, Snapshot


@click.group("state")
def command() -> None:
    """Look at the state."""


def _snapshot(config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> Snapshot:
    from dstream.engine.plan import current_state

    return current_state(opened(config, var, var_file))[0]


@command.command("list", cls=Command)
@click.argument("prefix", required=False, metavar="[ADDRESS]")
@config_options
@flag("json", help="As JSON.")
def list_(prefix: str | None, config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """List the addresses of all objects, or of those below ADDRESS."""
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
@flag("json", help="As JSON.")
def show(address: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """Show one object as it was last applied; sensitive values are hidden."""
    from dstream.cli.render.values import attribute_name, literal_lines
    from dstream.plan.plan import known

    snapshot = _snapshot(config, var, var_file)
    item = snapshot.resources.get(address)
    if item is None:
        import difflib

        near = difflib.get_close_matches(address, list(snapshot.resources), n=1)
        hint = f" Did you mean {near[0]}?" if near else " `dstream state list` lists what there is."
        raise click.ClickException(f"The state has no {address}.{hint}")
    shown = _hidden(item)
    if json:
        form = {
            "address": address,
            "type": item.type,
            "provider": item.provider,
            "status": item.status,
            "identity": item.identity,
            "attributes": known(shown),
            "dependencies": list(item.dependencies),
        }
        say(json_module.dumps(form, ensure_ascii=False, default=str))
        return
    paint = paint_for(sys.stdout)
    say(paint(f"# {address}" + ("" if item.status == "ok" else f" ({item.status})"), "bold"))
    say(f"{item.type} {{")
    names = sorted(shown)
    width = max((len(attribute_name(name)) for name in names), default=0)
    for name in names:
        first, *rest = literal_lines(shown[name], "    ")
        say(f"    {attribute_name(name):<{width}} = {first}")
        for line in rest:
            say(line)
    say("}")


def _hidden(item: ObjectState) -> dict[str, object]:
    """Return the attributes with sensitive ones as fingerprints, also where the state is encrypted and has them."""
    from dstream.engine.secrets import redact

    found = redact(dict(item.attributes), item.sensitive, b"shown to nobody")
    return dict(found)
