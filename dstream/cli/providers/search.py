"""`dstream providers search`."""

from __future__ import annotations

import json as json_module
from typing import Any

import click

from dstream.cli.options import Command, flag, option
from dstream.cli.render.paint import say
from dstream.cli.render.table import table


@click.command("search", cls=Command)
@click.argument("words", nargs=-1)
@option("kind", type=click.Choice(["input", "output", "resource"]), help="Only providers of this kind.")
@option("registry", metavar="HOST", help="Search the catalogue of a registry instead of the index.")
@flag("versions", help="Query the registries for versions.")
@flag("json", help="Print JSON.")
def command(words: tuple[str, ...], kind: str | None, registry: str | None, versions: bool, json: bool) -> None:
    """Search for providers. All words must occur in name, source or description.

    The index is a static file. DSTREAM_PROVIDER_INDEX, or `index` in ~/.dstream/config.hcl, replaces the bundled one.
    With -registry, the catalogue of a registry is searched.
    """
    from dstream.registry.index import load_index, search
    from dstream.registry.settings import load_settings

    settings = load_settings()
    if registry is not None:
        from dstream.registry.mirror_names import host_of
        from dstream.registry.oci.client import RegistryClient
        from dstream.registry.oci.transport import Transport

        names = RegistryClient(host_of(registry), Transport(settings)).catalog()
        lowered = [word.lower() for word in words]
        rows: list[dict[str, Any]] = [
            {"source": f"{registry}/{name}"} for name in names if all(word in name for word in lowered)
        ]
    else:
        rows = [each.to_json() for each in search(load_index(settings), words, kind)]
    if versions:
        for row in rows:
            row["versions"] = _versions(str(row["source"]))
    if json:
        say(json_module.dumps(rows, ensure_ascii=False))
        return
    if not rows:
        say("No providers found. To search the catalogue of a registry, use -registry HOST.")
        return
    columns = [column for column in ("name", "tier", "kinds", "source", "versions", "description") if column in rows[0]]
    cells = [
        [", ".join(row[column]) if isinstance(row[column], list | tuple) else str(row[column]) for column in columns]
        for row in rows
    ]
    for line in table([[column.upper() for column in columns], *cells]):
        say(line)


def _versions(source: str) -> list[str]:
    from dstream.diagnostics import DiagnosticsError
    from dstream.registry.lockfile.installer import installer
    from dstream.registry.lockfile.version_constraints import versions_of
    from dstream.registry.oci.reference import parse_reference

    reference = parse_reference(source)
    try:
        return [each.tag for each in versions_of(installer().source(reference.registry).tags(reference.repository))]
    except DiagnosticsError as problem:
        return [f"({problem.diagnostics[0].summary})"]
