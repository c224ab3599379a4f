"""Names of tables: as users write them, as T-SQL needs them, and as envelopes carry them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_SCHEMA = "dbo"
_PART = r'(?:\[((?:[^\]]|\]\])+)\]|"((?:[^"]|"")+)"|([^"\[\].]+))'
_NAME = re.compile(rf"(?:{_PART}\.)?{_PART}")


def quote(identifier: str) -> str:
    """An identifier in brackets, for T-SQL."""
    return "[" + identifier.replace("]", "]]") + "]"


def literal(text: str) -> str:
    """A string, for T-SQL where no parameter can stand."""
    return "N'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, order=True)
class Table:
    """A table by schema and name. `str` is the envelope's TableName: without the schema if that is dbo."""

    schema: str
    name: str

    def __str__(self) -> str:
        return self.name if self.schema.lower() == DEFAULT_SCHEMA else f"{self.schema}.{self.name}"

    @property
    def full(self) -> str:
        """Schema and name, always both."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The quoted name, for T-SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def folded(self) -> tuple[str, str]:
        """What makes two spellings the same table: names are compared without case, as most collations do."""
        return self.schema.lower(), self.name.lower()


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a user wrote for one or more tables."""

    schema: str
    name: str
    wild: bool

    def matches(self, table: Table) -> bool:
        """Whether a table is meant."""
        if not self.wild:
            return (self.schema.lower(), self.name.lower()) == table.folded
        return fnmatch.fnmatchcase(table.schema.lower(), self.schema.lower()) and fnmatch.fnmatchcase(
            table.name.lower(), self.name.lower()
        )

    @property
    def table(self) -> Table:
        """The table, of a pattern that is not wild."""
        return Table(self.schema, self.name)


def parse_pattern(text: str) -> Pattern:
    """A pattern out of `name`, `schema.name`, either part in brackets or quotes, or with `*` and `?`.

    A name alone means dbo; `*` alone means every schema. Raises ValueError for anything else.
    """
    found = _NAME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not the name of a table: write name or schema.name, odd names in [brackets]")
    schema, name = _part(found.groups()[:3]), _part(found.groups()[3:])
    plain = [part for part in (found[3], found[6]) if part]
    wild = any(sign in part for part in plain for sign in "*?")
    if not schema:
        schema = "*" if name == "*" and wild else DEFAULT_SCHEMA
    return Pattern(schema, name, wild)


def parse_patterns(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """Patterns without repeats, in order."""
    return tuple(dict.fromkeys(parse_pattern(text) for text in texts))


def parse_table(text: str) -> Table:
    """One table. Raises ValueError."""
    found = parse_pattern(text)
    if found.wild:
        raise ValueError(f"{text!r} matches several tables; expected one table")
    return found.table


def _part(groups: tuple[str | None, ...]) -> str:
    bracket, quoted, plain = groups
    if bracket:
        return bracket.replace("]]", "]")
    return quoted.replace('""', '"') if quoted else plain or ""
