"""Scope: the names that an expression can use, in nested scopes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field

from dstream.lang.confinement import Confinement
from dstream.lang.secret_texts import SecretTexts
from dstream.lang.values import Value


class Surroundings(Struct, frozen=True):
    """The environment of functions: folder, environment variables, time, known secrets."""

    root: Path = field(default_factory=Path)
    """The folder that relative paths of `file` and its like start from."""
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    unset_is_unknown: bool = False
    """Whether `env("X")` of a name that is not set is unknown (lint) or an error."""
    now: Callable[[], str] | None = None
    """What `plantimestamp()` returns; None takes the clock."""
    planning: bool = False
    """Whether results of impure functions (`timestamp`, `uuid`, `bcrypt`) are unknown."""
    secret_texts: SecretTexts = field(default_factory=SecretTexts)
    """The secret texts found so far: by `env`, a sensitive variable, `sensitive`, a resource."""
    confinement: Confinement | None = None
    """What limits `env` and the functions of files, if the configuration is not trusted."""


class Lazy:
    """A value that is computed once, on first use."""

    __slots__ = ("_compute", "_done", "_value")

    def __init__(self, compute: Callable[[], Value]) -> None:
        """Take what computes it."""
        self._compute = compute
        self._done = False
        self._value: Value = None

    def get(self) -> Value:
        """Return the value."""
        if not self._done:
            self._value = self._compute()
            self._done = True
        return self._value


class Namespace:
    """Names after a dot whose values are computed individually, as in `local.NAME`."""

    __slots__ = ("_names", "_of", "what")

    def __init__(self, what: str, names: Callable[[], list[str]], of: Callable[[str], Value]) -> None:
        """Name one member as `what` (such as `local`); `of` computes a member, whose name is among `names`."""
        self.what = what
        self._names = names
        self._of = of

    def names(self) -> list[str]:
        """Return the names of all members."""
        return self._names()

    def get(self, name: str) -> Value:
        """Return one member."""
        return self._of(name)

    def all(self) -> dict[str, Value]:
        """Return all members."""
        return {name: self.get(name) for name in sorted(self._names())}


Resources = Callable[[str], Value]
"""Returns the blocks of a resource type by name as an object; an empty one or None if there is no such type."""


class Scope:
    """Names with values; a name that is not here is looked up in the parent."""

    __slots__ = ("_names", "_parent", "_resources", "surroundings")

    def __init__(
        self,
        names: Mapping[str, Value | Lazy | Namespace | Callable[[], Value]] | None = None,
        *,
        parent: Scope | None = None,
        resources: Resources | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Take names; a value that is callable is called when it is first asked for, once."""
        self._names: dict[str, Value] = {
            name: Lazy(value) if callable(value) else value for name, value in (names or {}).items()
        }
        self._parent = parent
        self._resources = resources
        self.surroundings: Surroundings = (
            surroundings if surroundings is not None else parent.surroundings if parent is not None else Surroundings()
        )

    def child(self, /, **names: Value) -> Scope:
        """Return a scope inside this one with more names."""
        return Scope(names, parent=self)

    def bind(self, names: Mapping[str, Value]) -> Scope:
        """Return a scope inside this one with more names; as `child`, for values that are known already."""
        made = Scope.__new__(Scope)
        made._names = dict(names)
        made._parent = self
        made._resources = None
        made.surroundings = self.surroundings
        return made

    def lookup(self, name: str) -> Value | Namespace:
        """Return the value of a name; raise KeyError if there is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._names:
                value = scope._names[name]
                return value.get() if isinstance(value, Lazy) else value
            if scope._resources is not None:
                found = scope._resources(name)
                if found is not None and found != {}:
                    return found
            scope = scope._parent
        raise KeyError(name)

    def names(self) -> Iterator[str]:
        """Yield all names that can be used here."""
        scope: Scope | None = self
        while scope is not None:
            yield from scope._names
            scope = scope._parent
