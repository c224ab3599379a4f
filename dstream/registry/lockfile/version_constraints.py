"""Versions (semver.org 2.0), and version constraints as in Terraform: `~> 1.2, != 1.2.5`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from dstream.registry.errors import RegistryError

_VERSION = re.compile(
    r"v?(?P<numbers>\d{1,9}(?:\.\d{1,9}){0,2})(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+(?P<build>[0-9A-Za-z.-]+))?"
)
_CLAUSE = re.compile(r"(?P<operator>=|!=|>=|<=|>|<|~>)?\s*(?P<version>v?\d\S*)")


class Version(Struct, frozen=True, eq=False):
    """A version; a missing minor or patch number is 0. Build metadata does not count in comparisons."""

    numbers: tuple[int, ...]
    """One to three numbers, as they were written."""
    pre: tuple[str, ...] = ()
    """The dot-separated identifiers of a pre-release."""

    @property
    def full(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        major, minor, patch = (*self.numbers, 0, 0)[:3]
        return major, minor, patch

    def _key(self) -> tuple[object, ...]:
        # A release comes after its pre-releases; among identifiers, numbers come before words.
        pre = tuple((0, int(each), "") if each.isdigit() else (1, 0, each) for each in self.pre)
        return (self.full, not self.pre, pre)

    def __eq__(self, other: object) -> bool:
        """Compare by precedence."""
        return isinstance(other, Version) and self._key() == other._key()

    def __ne__(self, other: object) -> bool:
        """Negate equality: that of structs would compare identities."""
        return not self == other

    def __lt__(self, other: Version) -> bool:
        """Compare by precedence."""
        return self._key() < other._key()

    def __le__(self, other: Version) -> bool:
        """Compare by precedence."""
        return self._key() <= other._key()

    def __gt__(self, other: Version) -> bool:
        """Compare by precedence."""
        return self._key() > other._key()

    def __ge__(self, other: Version) -> bool:
        """Compare by precedence."""
        return self._key() >= other._key()

    def __hash__(self) -> int:
        """Hash by precedence, as equality."""
        return hash(self._key())

    def __str__(self) -> str:
        """Return the version without a leading v."""
        return ".".join(map(str, self.full)) + (f"-{'.'.join(self.pre)}" if self.pre else "")


def parse_version(text: str) -> Version | None:
    """Parse a tag as a version (`v1.2.3`, `1.2.3-beta.1`); return None if it is not one."""
    match = _VERSION.fullmatch(text)
    if not match:
        return None
    pre = tuple((match["pre"] or "").split(".")) if match["pre"] else ()
    return Version(tuple(int(each) for each in match["numbers"].split(".")), pre)


class _Clause(Struct, frozen=True):
    operator: str
    version: Version

    def allows(self, version: Version) -> bool:
        bound = self.version
        match self.operator:
            case "=":
                return version == bound
            case "!=":
                return version != bound
            case ">":
                return version > bound
            case ">=":
                return version >= bound
            case "<":
                return version < bound
            case "<=":
                return version <= bound
            case _:  # ~>: the last number written may grow, the ones before it may not
                kept = max(len(bound.numbers) - 1, 1)
                return version >= bound and version.full[:kept] == bound.full[:kept]


class Constraint(Struct, frozen=True):
    """A set of versions. A pre-release is in it only if a clause names one of the same major, minor and patch."""

    text: str
    clauses: tuple[_Clause, ...] = ()

    def allows(self, version: Version) -> bool:
        """Return whether a version is in the set."""
        if version.pre and not any(
            clause.version.pre and clause.version.full == version.full for clause in self.clauses
        ):
            return False
        return all(clause.allows(version) for clause in self.clauses)


def parse_constraint(text: str) -> Constraint:
    """Parse a constraint; an empty text allows every release. Raise RegistryError if it is malformed."""
    clauses = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _CLAUSE.fullmatch(part)
        version = parse_version(match["version"]) if match else None
        if match is None or version is None:
            raise RegistryError(
                "Invalid version constraint",
                f"{part!r} is not a version constraint. Write an operator (= != > >= < <= ~>) and a version, separated "
                'by commas: "~> 1.2" (1.2 or later, below 2), "~> 1.2.3" (below 1.3), ">= 1.0, < 3".',
            )
        clauses.append(_Clause(match["operator"] or "=", version))
    return Constraint(text, tuple(clauses))


class Tagged(Struct, frozen=True):
    """A version and the tag under which a registry has it."""

    version: Version
    tag: str


def versions_of(tags: Iterable[str]) -> list[Tagged]:
    """Return the tags that are complete versions (three numbers), oldest first; `1.2` and `latest` can move."""
    found = [Tagged(version, tag) for tag in tags if (version := parse_version(tag)) and len(version.numbers) == 3]
    return sorted(found, key=lambda each: (each.version, each.tag))


def newest(tags: Iterable[str], constraint: Constraint) -> Tagged | None:
    """Return the newest version that a constraint allows, or None."""
    allowed = [each for each in versions_of(tags) if constraint.allows(each.version)]
    return allowed[-1] if allowed else None
