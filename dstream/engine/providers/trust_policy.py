"""Trust policies: the `trust` blocks of a configuration, and the sources that each applies to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dstream.config import Config
from dstream.diagnostics import DiagnosticsError, error
from dstream.plugins import ProviderSource
from dstream.registry.hcl_literal import literal
from dstream.registry.trust.policy import Policy, policy_for


def policy_of(source: ProviderSource, config: Config) -> Policy | None:
    """Return the signature policy of an artifact or image, None if it needs no signature; raises as `policies`."""
    found = policies(config)
    if not found:
        return None
    from dstream.registry.oci.image_names import image_reference
    from dstream.registry.oci.reference import parse_reference

    return policy_for(found, image_reference(source.value) if source.kind == "image" else parse_reference(source.value))


def policies(config: Config) -> tuple[Policy, ...]:
    """Return the policies in order; raise DiagnosticsError if a block is invalid.

    Their values are literals: which signatures count must not depend on variables.
    """
    if config.settings is None:
        return ()
    found = []
    for block in config.settings.trust:
        values: dict[str, Any] = {name: literal(each.expr) for name, each in block.body.attributes.items()}
        keys = values.pop("keys", [])
        texts = {name: values.pop(name, "") for name in ("identity", "issuer", "trusted_root")}
        lists = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        right = len(block.labels) == 1 and not block.body.blocks and not values and lists
        if not right or not all(isinstance(text, str) for text in texts.values()) or not (keys or texts["identity"]):
            detail = (
                'A trust block is written trust "ghcr.io/team/*" { keys = ["./release.pub"] }, or with identity (and '
                "issuer) of sigstore bundles instead of keys, and trusted_root for roots of one's own."
            )
            raise DiagnosticsError(error("Invalid trust block", detail, block.header_range))
        found.append(
            Policy(
                block.labels[0],
                tuple(_path(config, key) for key in keys),
                texts["identity"],
                texts["issuer"],
                _path(config, texts["trusted_root"]) if texts["trusted_root"] else None,
            )
        )
    return tuple(found)


def _path(config: Config, text: str) -> Path:
    return config.root / Path(text).expanduser()
