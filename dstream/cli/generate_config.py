"""`-generate-config-out`: blocks for objects that are imported and declared nowhere, written to a file of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.render.paint import say
from dstream.cli.render.values import attribute_name, literal_lines

if TYPE_CHECKING:
    from dstream.engine.commands.generate_config import Found
    from dstream.engine.setup.operation import Operation


def generate(operation: Operation, out: str, given: Mapping[str, Any], *, quiet: bool) -> bool:
    """Write the blocks that are missing to a new file; return whether there were any, and the file is loaded with the
    configuration."""
    from dstream.engine.commands.generate_config import read_undeclared, undeclared

    path = Path(out)
    if path.exists():
        raise click.BadParameter(f"{out} exists already; it would be overwritten", param_hint="-generate-config-out")
    missing = undeclared(operation, given)
    if not missing:
        if not quiet:
            say("Everything that is imported is declared already; nothing was generated.\n")
        return False
    found = read_undeclared(operation, missing)
    path.write_text("\n".join(_block(each) for each in found))
    if not quiet:
        say(f"Wrote {out}. Look at it, and make it yours: values that others should follow become references.\n")
    return path.suffix == ".hcl" and path.absolute().parent == operation.root.absolute()


def _block(found: Found) -> str:
    lines = [f'resource "{found.address.type}" "{found.address.name}" {{', *_arguments(found.attributes)]
    lines += (f'  # {name} is a secret, which is not told: {name} = env("NAME")' for name in found.secrets)
    return "\n".join([*lines, "}", ""])


def _arguments(attributes: Mapping[str, Any]) -> Iterable[str]:
    width = max((len(attribute_name(name)) for name in attributes), default=0)
    for name in sorted(attributes):
        first, *rest = literal_lines(attributes[name], "  ")
        yield f"  {attribute_name(name):<{width}} = {first}"
        yield from rest
