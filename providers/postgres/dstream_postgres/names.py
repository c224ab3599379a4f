"""Names of tables: as users write them, as SQL needs them, and as envelopes carry them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PART = r'(?:"((?:[^"]|"")+)"|([^".]+))'
_NAME = re.compile(rf"(?:{_PART}\.)?{_PART}")
_QUOTED_SCHEMA = re.compile(r'"((?:[^"]|"")+)"\.(.+)', re.DOTALL)


def quote(identifier: str) -> str:
    """An identifier in double quotes, for SQL."""
    return '"' + identifier.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True, order=True)
class Table:
    """A table by schema and name, as the catalog spells them. `str` is the envelope's TableName."""

    schema: str
    name: str

    def __str__(self) -> str:
        """`schema.name`. Only a schema with a dot, or with a quote in front, is quoted: else two tables would share a
        name, since the name is everything behind the first dot."""
        odd = "." in self.schema or self.schema.startswith('"')
        return f"{quote(self.schema) if odd else self.schema}.{self.name}"

    @property
    def spelled(self) -> str:
        """The name as `parse_table` reads it back: parts are quoted where they have to be."""
        parts = (self.schema, self.name)
        return ".".join(quote(part) if "." in part or '"' in part or part != part.strip() else part for part in parts)

    @property
    def sql(self) -> str:
        """The quoted name, for SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def sql_format(self) -> str:
        """The quoted name, for SQL in which `%s` stands for a parameter."""
        return self.sql.replace("%", "%%")


def parse_table(text: str, *, schema: str = "public") -> Table:
    """A table out of `name`, `schema.name`, or either part in double quotes. Names are not folded to lower case.

    Raises ValueError for anything else.
    """
    found = _NAME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not the name of a table: write name or schema.name")
    quoted_schema, plain_schema, quoted_name, plain_name = found.groups()
    return Table(_plain(quoted_schema, plain_schema) or schema, _plain(quoted_name, plain_name))


def table_named(name: str) -> Table:
    """The table of an envelope's TableName; without a schema: public."""
    if found := _QUOTED_SCHEMA.fullmatch(name):
        return Table(found[1].replace('""', '"'), found[2])
    schema, dot, rest = name.partition(".")
    return Table(schema, rest) if dot and schema and rest else Table("public", name)


def parse_tables(texts: Iterable[str]) -> tuple[Table, ...]:
    """Tables without repeats, in order."""
    return tuple(dict.fromkeys(parse_table(text) for text in texts))


def _plain(quoted: str | None, plain: str | None) -> str:
    return quoted.replace('""', '"') if quoted else plain or ""
