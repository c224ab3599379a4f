"""Desired objects: the objects that a `resource` block declares or a task requires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from dstream.addresses import Key
from dstream.config import Lifecycle
from dstream.diagnostics import SourceRange
from dstream.engine.evaluate.redaction import Path
from dstream.lang import Scope, sensitive_paths, strip_sensitive
from dstream.plan import has_unknown_part
from dstream_state import NO_TIMEOUTS, Timeouts

AttributeValues = tuple[dict[str, Any], frozenset[Path]]
"""Clear attributes as JSON values with Unknown inside, and the paths of the sensitive ones."""


class DesiredObject(Struct, frozen=True):
    """One desired object."""

    address: str
    block: str
    """The block that it comes from: `TYPE.NAME` or `task.NAME`."""
    provider: str
    """The name of the provider spec that serves it."""
    type: str
    key: str
    """Its name for the provider: the address of a declared object, the key of a required one."""
    attributes: dict[str, Any]
    """Clear attributes; JSON values with Unknown inside."""
    sensitive: frozenset[Path]
    dependencies: tuple[str, ...]
    """Blocks, and addresses of objects of the same task, that must exist first."""
    lifecycle: Lifecycle
    range: SourceRange | None = None
    instance: Key = None
    evaluate: Callable[[Scope], AttributeValues] | None = None
    """Evaluates the attributes again, in a scope where unknown values may be known."""
    bind_instance: Callable[[Scope], Scope] | None = None
    """Adds the names of its instance (`each`, `count`) to a scope, for its conditions."""
    aliases: tuple[str, ...] = ()
    """Earlier addresses of the same object."""
    provider_prevents_destroy: bool = False
    """Whether the provider whose task requires it forbids its destruction."""
    timeouts: Timeouts = NO_TIMEOUTS
    """Timeouts of its changes, from its block or from the provider that requires it."""

    @property
    def unknown(self) -> bool:
        """Whether any attribute is not yet known."""
        return has_unknown_part(self.attributes)


def split_sensitive(values: Any) -> AttributeValues:
    """Split evaluated values into clear JSON attributes (Unknown stays) and the paths of the sensitive ones."""
    paths = frozenset(path for path, _ in sensitive_paths(values))
    return plain(strip_sensitive(values)), paths


def plain(value: Any) -> Any:
    """Return a value of the language as JSON values: sets become lists, Unknown stays."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, str | int | float) or value is None:
        return value
    if hasattr(value, "__iter__"):
        return [plain(inner) for inner in value]
    return value
