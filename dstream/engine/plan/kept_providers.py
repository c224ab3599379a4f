"""Kept providers: the recorded provider of objects that the provider now configured under its name does not have.

The side of a task, or a `provider` block, may name another provider than at the last apply. What the earlier one
created is still its own: it is recorded under a name beside, reads and destroys those objects, and leaves the state
with the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from dstream.config import Config
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, source_from_state, spec_from_state
from dstream.engine.providers.type_rules import rules_of
from dstream.engine.refresh.prior_state import PriorState
from dstream.lang import Scope

_SUFFIX = "#previous"


def is_kept(name: str) -> bool:
    """Return whether `name` is that of a kept provider; its configuration comes from the state only."""
    return name.rstrip("0123456789").endswith(_SUFFIX)


def keep_replaced(
    specs: Iterable[ProviderSpec], prior: PriorState, pool: ProviderPool, scope: Scope, config: Config
) -> list[ProviderSpec]:
    """Return the recorded providers that `specs` replace and that still have objects, under their new names.

    The prior state then has the objects under those names. A provider that only moved, to another path or image, is
    not replaced: it says the same name. Raises DiagnosticsError if the recorded provider is not found, or if a secret
    of its configuration is missing.
    """
    found = []
    for spec in specs:
        recorded = prior.providers.get(spec.name)
        if recorded is None or is_kept(spec.name):
            continue
        before = source_from_state(recorded, config)
        if (before.kind, before.value) == (spec.source.kind, spec.source.value):
            continue
        info = pool.installed(spec).info
        left = [
            address
            for address, item in prior.objects.items()
            if item.provider == spec.name and rules_of(info, item.type) is None
        ]
        if not left:
            continue
        name = _free(spec.name, prior)
        kept = spec_from_state(name, recorded, scope, config)
        if pool.installed(kept).info.name != info.name:
            prior.keep_provider(spec.name, name, left)
            found.append(kept)
    return found


def _free(name: str, prior: PriorState) -> str:
    """Return a name for the recorded provider `name` that no other has."""
    kept, number = f"{name}{_SUFFIX}", 1
    while kept in prior.providers:
        number += 1
        kept = f"{name}{_SUFFIX}{number}"
    return kept
