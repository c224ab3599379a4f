"""Resource values: the values of resources in expressions, such as `postgres_publication.orders.name`.

A plan fills them with planned attributes, some of them unknown; an apply replaces each by the real one. A value is
built when an expression first refers to its type, since most are never referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dstream.addresses import Key
from dstream.engine.evaluate.redaction import Path
from dstream.lang import Sensitive, Unknown
from dstream.lang.secret_texts import SecretTexts


class ResourceValues:
    """Values of resource blocks by type and name; each a single object, or objects by key or index."""

    def __init__(self, secrets: SecretTexts | None = None) -> None:
        """Start with none; add the secrets of the values that expressions use to `secrets`."""
        self._known_secrets = secrets
        self._types: dict[str, dict[str, Any]] = {}
        self._unmade: dict[str, dict[str, dict[Key, Callable[[], Any]]]] = {}
        """Functions for the values that were not used yet, by type, name and key."""

    def declare(self, type_: str, name: str, *, keyed: bool, counted: bool) -> None:
        """Declare a block, and whether its instances have keys (for_each) or indexes (count)."""
        value: Any = [] if counted else {} if keyed else Unknown()
        self._unmade.setdefault(type_, {}).pop(name, None)
        self._types.setdefault(type_, {})[name] = value

    def unknown(self, type_: str, name: str) -> None:
        """Declare that the value of a block is unknown."""
        self._unmade.setdefault(type_, {}).pop(name, None)
        self._types.setdefault(type_, {})[name] = Unknown()

    def set(self, type_: str, name: str, key: Key, make: Callable[[], Any]) -> None:
        """Set the function for the value of one instance. Instances of lower indexes that are not set are unknown."""
        self._unmade.setdefault(type_, {}).setdefault(name, {})[key] = make

    def _put(self, type_: str, name: str, key: Key, value: Any) -> None:
        names = self._types.setdefault(type_, {})
        known = names.get(name)
        if key is None:
            names[name] = value
        elif isinstance(key, int):
            items = known if isinstance(known, list) else []
            items += [Unknown()] * (key + 1 - len(items))
            items[key] = value
            names[name] = items
        else:
            if not isinstance(known, dict):
                names[name] = known = {}
            known[key] = value

    def __call__(self, root: str) -> Mapping[str, Any]:
        """Return the blocks of a type by name; called by the scope of an expression."""
        unmade = self._unmade.get(root)
        if unmade:
            for name, instances in unmade.items():
                for key, make in instances.items():
                    value = make()
                    self._put(root, name, key, value)
                    if self._known_secrets is not None:
                        for secret in _secrets(value):
                            self._known_secrets.add(secret)
            unmade.clear()
        return self._types.get(root, {})


def _secrets(value: Any) -> Iterator[Sensitive]:
    if isinstance(value, Sensitive):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner)


def mark_sensitive(attributes: Mapping[str, Any], sensitive: Iterable[Path], address: str) -> Any:
    """Return clear attributes with every sensitive part marked, and its attribute as the origin."""
    paths = frozenset(sensitive)
    return _mark(dict(attributes), paths, address, ()) if paths else dict(attributes)


def _mark(value: Any, paths: frozenset[Path], address: str, here: Path) -> Any:
    if here in paths:
        return Sensitive(value, frozenset({f"{address}.{'.'.join(str(step) for step in here)}"}))
    if not any(path[: len(here)] == here for path in paths):
        return value
    if isinstance(value, Mapping):
        return {name: _mark(inner, paths, address, (*here, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mark(inner, paths, address, (*here, index)) for index, inner in enumerate(value)]
    return value
