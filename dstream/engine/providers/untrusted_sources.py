"""Untrusted sources: which providers a configuration that is not trusted may start, and what they see.

The configuration is written by a stranger, so its settings are hostile: a program of the checkout is code of the
stranger, and an installed one connects wherever its settings say. A provider starts only if the machine or the
command line names it, in an empty folder that is also its home, so that it finds neither the checkout nor logins.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from dstream.engine.setup.operation import Operation
from dstream.plugins import Binary, ProviderSource, resolve
from dstream.plugins.binary import Role
from dstream.plugins.container import Limits

MARK = "DSTREAM_UNTRUSTED"
"""The environment variable that tells a provider that its settings are not trusted."""


def refusal(source: ProviderSource, operation: Operation) -> str | None:
    """Return why a provider may not start for a configuration that is not trusted; None if it may."""
    if operation.untrusted is None:
        return None
    if source.kind == "path":
        return f'provider_path = "{source.value}" is a program of the checkout'
    if source.kind == "name":
        if source.value in operation.untrusted.providers:
            return None
        return f'the installed provider "{source.value}" is not allowed with -allow-provider'
    if source.container != Limits():
        return f'{source.argument} = "{source.value}" has a container block'
    return f'no machine-wide trust covers {source.argument} = "{source.value}"'


def resolve_confined(source: ProviderSource, operation: Operation, role: Role, home: Path) -> Binary:
    """Return the program of a provider that may start; `home` is the empty folder that it runs in."""
    confinement = operation.confinement
    assert confinement is not None  # noqa: S101 - it is there if the operation is not trusted
    names = tuple(name for name in source.env if confinement.resolves(name))
    found = resolve(replace(source, env=names), operation.root, role)
    return replace(found, folder=str(home), environment={"HOME": str(home), MARK: "1"})
