"""`-generate-config-out`: blocks for imported objects that are not declared, written to a new file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.render.paint import say_text
from dstream.cli.render.values import attribute_name, literal_lines

if TYPE_CHECKING:
    from dstream.engine.commands.generate_config import UndeclaredObject
    from dstream.engine.setup.operation import Operation


def generate(operation: Operation, out: str, given: Mapping[str, Any], *, quiet: bool) -> bool:
    """Write the missing blocks to a new file; return whether the configuration now has them."""
    from dstream.engine.commands.generate_config import read_undeclared, undeclared_imports

    path = Path(out)
    if path.exists():
        raise click.BadParameter(f"{out} already exists. Choose another file", param_hint="-generate-config-out")
    missing = undeclared_imports(operation, given)
    if not missing:
        if not quiet:
            say_text("All imported objects are already declared. No configuration was generated.\n")
        return False
    found = read_undeclared(operation, missing)
    path.write_text("\n".join(_block(each) for each in found))
    if not quiet:
        say_text(f"Wrote {out}. Review it: values that other blocks depend on should become references.\n")
    return path.suffix == ".hcl" and path.absolute().parent == operation.root.absolute()


def _block(found: UndeclaredObject) -> str:
    lines = [f'resource "{found.address.type}" "{found.address.name}" {{', *_arguments(found.attributes)]
    lines += (f'  # {name} is sensitive and was not read: {name} = env("NAME")' for name in found.secrets)
    return "\n".join([*lines, "}", ""])


def _arguments(attributes: Mapping[str, Any]) -> Iterable[str]:
    width = max((len(attribute_name(name)) for name in attributes), default=0)
    for name in sorted(attributes):
        first, *rest = literal_lines(attributes[name], "  ")
        yield f"  {attribute_name(name):<{width}} = {first}"
        yield from rest
