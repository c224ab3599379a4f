"""Trust policies: the `trust` blocks of the machine and of the configuration that apply to a source.

The machine's blocks come first and always hold: a configuration can require more signatures, never fewer.
"""

from __future__ import annotations

from dstream.config import Config
from dstream.plugins import ProviderSource
from dstream.registry.trust.blocks import read_policies
from dstream.registry.trust.machine_trust import machine_trust
from dstream.registry.trust.policy import Policy, policy_for


def policies_of(source: ProviderSource, config: Config) -> tuple[Policy, ...]:
    """Return the signature policies of an artifact or image, all of which must be satisfied; none for local programs.

    Raise DiagnosticsError if a trust block is invalid.
    """
    if source.kind not in ("ref", "image"):
        return ()
    layers = [*machine_trust(), configured_trust(config)]
    if not any(layers):
        return ()
    from dstream.registry.oci.image_names import image_reference
    from dstream.registry.oci.reference import parse_reference

    reference = image_reference(source.value) if source.kind == "image" else parse_reference(source.value)
    return tuple(policy for layer in layers if (policy := policy_for(layer, reference)) is not None)


def configured_trust(config: Config) -> tuple[Policy, ...]:
    """Return the policies of a configuration; raise DiagnosticsError if a block is invalid."""
    return read_policies(config.settings.trust, config.root) if config.settings is not None else ()
