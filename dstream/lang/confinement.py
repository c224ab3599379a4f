"""Confinement: what a configuration that is not trusted may see while it is evaluated, and what is withheld from it.

Whoever opens a pull request controls every expression in it. So `env` gives only the variables that the operator
allows, and functions of files read only what belongs to the project. What is withheld is unknown, like a value that
is known after apply, and recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from dstream.diagnostics import Diagnostic, error

Kind = Literal["environment variable", "file", "variable", "provider", "block", "state"]
_LONGEST_NAME = 200


class Withheld(Struct, frozen=True, order=True):
    """One thing that a configuration that is not trusted did not get, and why."""

    kind: Kind
    name: str
    reason: str


class Confinement:
    """The boundary around a configuration that is not trusted, and a record of what it withheld."""

    def __init__(self, root: Path, names: Iterable[str], environment: Mapping[str, str]) -> None:
        """Allow files of the project in the folder `root`, and the variables of an environment that are in `names`."""
        self.root = root.resolve()
        self._names = frozenset(names)
        self.env = {name: value for name, value in environment.items() if name in self._names}
        """The variables that are allowed."""
        self._withheld: set[Withheld] = set()

    def withheld(self) -> tuple[Withheld, ...]:
        """Return what was withheld so far, in a fixed order."""
        return tuple(sorted(self._withheld))

    def withhold(self, kind: Kind, name: str, reason: str) -> None:
        """Record that something is withheld."""
        short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
        self._withheld.add(Withheld(kind, short, reason))

    def allows(self, variable: str) -> bool:
        """Return whether an environment variable is allowed."""
        return variable in self._names

    def resolves(self, variable: str) -> bool:
        """Return whether `env` of a variable may be resolved; record it if not."""
        if variable in self._names:
            return True
        self.withhold("environment variable", variable, "not allowed with -allow-env")
        return False

    def reads(self, path: Path, name: str) -> bool:
        """Return whether a file or folder belongs to the project; record it under `name` if not."""
        why = self.outside(path)
        if why is not None:
            self.withhold("file", name, why)
        return why is None

    def _strays(self, path: Path) -> bool:
        """Return whether a symbolic link of the checkout leads from this path to a file that is none of the project."""
        checkout = (self.root, Path(os.path.realpath(Path.cwd())))
        links = [each for each in (path, *path.parents) if each.is_symlink()]
        folders = [Path(os.path.realpath(each.parent)) for each in links]
        of_checkout = any(folder.is_relative_to(each) for folder in folders for each in checkout)
        return of_checkout and self.outside(path) is not None

    def stray(self, path: Path) -> Diagnostic | None:
        """Return the error for a file of the checkout that a symbolic link leads to; None if it may be read."""
        if not self._strays(path):
            return None
        detail = (
            f"{path} is a symbolic link to a file that does not belong to the project. -untrusted does not read it."
        )
        return error("File outside the project", detail)

    def outside(self, path: Path) -> str | None:
        """Return why a path does not belong to the project; None if it does.

        Symbolic links are followed. Hidden files are none of it: `.git`, `.dstream` and `.env` hold credentials.
        """
        try:
            inner = Path(os.path.realpath(path)).relative_to(self.root)
        except (OSError, ValueError):
            return "outside the project"
        if any(part.startswith(".") for part in inner.parts):
            return "a hidden file"
        return None
