"""Table names: as users write them, quoted for T-SQL, and as envelopes have them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_SCHEMA = "dbo"
_PART = r'(?:\[((?:[^\]]|\]\])+)\]|"((?:[^"]|"")+)"|([^"\[\].]+))'
_NAME = re.compile(rf"(?:{_PART}\.)?{_PART}")


def quote(identifier: str) -> str:
    """Return an identifier in brackets, for T-SQL."""
    return "[" + identifier.replace("]", "]]") + "]"


def literal(text: str) -> str:
    """Return a string literal, for T-SQL that takes no parameters."""
    return "N'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, order=True)
class Table:
    """A table by schema and name. `str` returns the TableName of envelopes, which leaves out the schema dbo."""

    schema: str
    name: str

    def __str__(self) -> str:
        return self.name if self.schema.lower() == DEFAULT_SCHEMA else f"{self.schema}.{self.name}"

    @property
    def full(self) -> str:
        """The name with its schema."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The quoted name, for T-SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def folded(self) -> tuple[str, str]:
        """Schema and name in lower case, for comparison: most collations ignore case."""
        return self.schema.lower(), self.name.lower()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A table name, possibly with wildcards."""

    schema: str
    name: str
    wild: bool

    def matches(self, table: Table) -> bool:
        """Return whether a table matches."""
        if not self.wild:
            return (self.schema.lower(), self.name.lower()) == table.folded
        return fnmatch.fnmatchcase(table.schema.lower(), self.schema.lower()) and fnmatch.fnmatchcase(
            table.name.lower(), self.name.lower()
        )

    @property
    def table(self) -> Table:
        """The table of a pattern without wildcards."""
        return Table(self.schema, self.name)


def parse_pattern(text: str) -> Pattern:
    """Parse `name` or `schema.name`; each part may be in brackets or quotes, or have the wildcards `*` and `?`.

    A name without a schema is in dbo; `*` alone matches every schema. Raises ValueError.
    """
    found = _NAME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a table name: write name or schema.name, special characters in [brackets]")
    schema, name = _part(found.groups()[:3]), _part(found.groups()[3:])
    plain = [part for part in (found[3], found[6]) if part]
    wild = any(sign in part for part in plain for sign in "*?")
    if not schema:
        schema = "*" if name == "*" and wild else DEFAULT_SCHEMA
    return Pattern(schema, name, wild)


def parse_patterns(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """Parse patterns, in order and without duplicates. Raises ValueError."""
    return tuple(dict.fromkeys(parse_pattern(text) for text in texts))


def parse_table(text: str) -> Table:
    """Parse the name of one table. Raises ValueError."""
    found = parse_pattern(text)
    if found.wild:
        raise ValueError(f"{text!r} matches several tables; expected one table")
    return found.table


def _part(groups: tuple[str | None, ...]) -> str:
    bracket, quoted, plain = groups
    if bracket:
        return bracket.replace("]]", "]")
    return quoted.replace('""', '"') if quoted else plain or ""
