"""Untrusted sources: which providers a configuration that is not trusted may start, and what they see.

The configuration is written by a stranger, so its settings are hostile: a program of the checkout is code of the
stranger, and an installed one connects wherever its settings say. A provider starts only if the machine or the
command line names it, in an empty folder that is also its home, so that it finds neither the checkout nor logins.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dstream.diagnostics import DiagnosticsError
from dstream.engine.setup.operation import Operation
from dstream.plugins import Binary, ProviderSource, resolve
from dstream.plugins.binary import Role
from dstream.plugins.container import Limits

if TYPE_CHECKING:
    from dstream.registry.trust.policy import Policy

MARK = "DSTREAM_UNTRUSTED"
"""The environment variable that marks a provider's settings as not trusted."""


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
    if not _machine_policies(source):
        return f'no trust block of this machine covers {source.argument} = "{source.value}"'
    return None


def _machine_policies(source: ProviderSource) -> tuple[Policy, ...]:
    return tuple(policy for policy in source.trusted if policy.machine)


def resolve_confined(source: ProviderSource, operation: Operation, role: Role, home: Path) -> Binary:
    """Return the program of a provider that may start; `home` is the empty folder that it runs in."""
    from dstream.registry.lockfile.lock_file import LOCK_FILE

    confinement = operation.confinement
    assert confinement is not None  # noqa: S101 - it is there if the operation is not trusted
    if (stray := confinement.stray(operation.root / LOCK_FILE)) is not None:
        raise DiagnosticsError(stray)
    names = tuple(name for name in source.env if confinement.resolves(name))
    # The trust blocks of the configuration add nothing: whoever wrote them chose their keys.
    confined = replace(source, env=names, trusted=_machine_policies(source))
    found = resolve(confined, operation.root, role)
    return replace(found, folder=str(home), environment={"HOME": str(home), MARK: "1"})
