"""Desired objects: what the configuration declares, by a `resource` block or through a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dstream.addresses import Key
from dstream.config import Lifecycle
from dstream.diagnostics import SourceRange
from dstream.engine.evaluate.redaction import Path
from dstream.lang import Scope, sensitive_paths, strip_sensitive
from dstream.plan import has_unknown_part
from dstream_state import NO_TIMEOUTS, Timeouts

AttributeValues = tuple[dict[str, Any], frozenset[Path]]
"""Clear attributes as JSON values with Unknown inside, and the paths of the sensitive ones."""


@dataclass(frozen=True, slots=True)
class DesiredObject:
    """One object that the configuration asks for."""

    address: str
    block: str
    """The block that it comes from: `TYPE.NAME` or `task.NAME`."""
    provider: str
    """The name of the provider spec that serves it."""
    type: str
    key: str
    """What the provider calls it: the address of a declared one, the key of a derived one."""
    attributes: dict[str, Any]
    """Clear attributes; JSON values with Unknown inside."""
    sensitive: frozenset[Path]
    dependencies: tuple[str, ...]
    """Blocks, and addresses of objects of the same task, that must exist first."""
    lifecycle: Lifecycle
    range: SourceRange | None = None
    instance: Key = None
    evaluate: Callable[[Scope], AttributeValues] | None = None
    """Evaluates the attributes once more, in a scope where what was unknown may be known."""
    bind_instance: Callable[[Scope], Scope] | None = None
    """Adds the names that only its block has (`each`, `count`) to a scope, for its conditions."""
    aliases: tuple[str, ...] = ()
    """Earlier addresses of the same object."""
    provider_prevents_destroy: bool = False
    """Whether the provider that asks for it for a task says that it must not be destroyed."""
    timeouts: Timeouts = NO_TIMEOUTS
    """How long its provider may take, by its block or by the provider that asks for it."""

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
