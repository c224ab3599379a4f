"""Configuration hash: one hash of the syntax trees, without comments, layout, file names and positions."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from dstream.config.blocks import Config

_POSITIONS = frozenset(["source", "start", "end", "name_start", "name_end", "header_end", "range", "symbol"])
"""Fields of nodes and blocks that hold positions."""
_BLOCKS = ("settings", "providers", "variables", "locals", "resources", "tasks", "outputs")
_LISTS = ("moved", "imports", "removed", "checks")


def config_digest(config: Config) -> str:
    """Return `sha256:...` of the blocks, independent of their files and order."""
    import json
    from hashlib import sha256

    form: dict[str, Any] = {name: _form(getattr(config, name)) for name in _BLOCKS}
    for name in _LISTS:
        form[name] = sorted((_form(each) for each in getattr(config, name)), key=repr)
    if config.policies:  # absent without policies: a plan saved by an earlier version keeps its digest
        form["policies"] = sorted((_form(each) for each in config.policies), key=repr)
    text = json.dumps(form, sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _form(value: Any) -> Any:
    """Return a node, block or field as JSON values. Each node is a list that starts with its kind."""
    if isinstance(value, Struct):
        # `source` of a block such as `launch` is an expression, and that of a node the text that it stands in.
        names = [name for name in value.__struct_fields__ if name not in _POSITIONS or _is_content(value, name)]
        return [type(value).__name__, *(_form(getattr(value, name)) for name in names)]
    if isinstance(value, Mapping):
        return [[_form(name), _form(value[name])] for name in sorted(value, key=repr)]
    if isinstance(value, list | tuple):
        return [_form(each) for each in value]
    if isinstance(value, Decimal):
        return ["number", str(value)]
    return value


def _is_content(value: Struct, name: str) -> bool:
    """Return whether a field is content, such as the `source` of a launch, rather than a position."""
    return name == "source" and not hasattr(value, "start")
