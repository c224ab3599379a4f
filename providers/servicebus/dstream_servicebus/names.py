"""Names: the name of each table's queue or topic, by a template and the service's rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dstream_sdk import InvalidError

LONGEST = 260
_ALLOWED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?")
_FIELD = re.compile(r"\{([^{}]*)\}")
FIELDS = ("table", "schema", "name", "task", "kebab")
_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DEFAULT_SCHEMAS = ("dbo", "public")


def parts(name: str) -> tuple[str, str]:
    """Split a stream's name into schema and table. The schema may be ""."""
    schema, _, table = name.rpartition(".")
    return schema, table


def kebab(text: str) -> str:
    """Convert to kebab case: `TestDB` is `test-db`."""
    return _WORDS.sub("-", text).strip("-").lower()


@dataclass(frozen=True, slots=True)
class Naming:
    """The naming of entities.

    In the template, `{table}` is the table without its schema, `{schema}` the schema, `{name}` the stream's full name,
    `{task}` the task, and `{kebab}` the table in kebab case. A template without a field is one entity for all tables.
    `explicit` has the names for individual tables.
    """

    template: str
    explicit: Mapping[str, str]
    task: str

    def __post_init__(self) -> None:
        """Refuse a template with unknown fields."""
        for field in _FIELD.findall(self.template):
            if field not in FIELDS:
                known = ", ".join(f"{{{each}}}" for each in FIELDS)
                raise InvalidError(
                    "Invalid name", f"there is no {{{field}}}; there are: {known}", path="config.queue_name"
                )

    @property
    def shared(self) -> bool:
        """Return whether all tables share one entity."""
        return not any(field != "task" for field in _FIELD.findall(self.template))

    def of(self, name: str) -> str:
        """Return the name of a table's entity, without validation."""
        schema, table = parts(name)
        found = self.explicit.get(name) or self.explicit.get(table)
        if found is not None:
            return found
        values = {"table": table, "schema": schema, "name": name, "task": self.task.replace("/", "-")}
        values["kebab"] = kebab(table)
        return _FIELD.sub(lambda match: values[match[1]], self.template)

    def all_of(self, names: Iterable[str]) -> dict[str, str]:
        """Return the entity of each table. Raises InvalidError for an invalid or ambiguous name."""
        found: dict[str, str] = {}
        owners: dict[str, str] = {}
        for name in names:
            entity = self.of(name)
            check(entity, name)
            other = owners.setdefault(entity.lower(), name)
            if other != name and not self.shared and not (name in self.explicit and other in self.explicit):
                raise InvalidError(
                    "Two tables, one queue",
                    f"{other} and {name} would both be sent to {entity} (names ignore case). Put {{schema}} "
                    f'into queue_name, such as "{{schema}}_{{table}}_cdc_events", or name one: queues = '
                    f'{{ "{name}" = "..." }}',
                    path="config.queue_name",
                )
            found[name] = entity
        return found


def check(entity: str, table: str) -> None:
    """Raise InvalidError for a name that the service does not allow."""
    why = ""
    if len(entity) > LONGEST:
        why = f"it has {len(entity)} characters, and the limit is {LONGEST}"
    elif not _ALLOWED.fullmatch(entity):
        why = "letters, digits and . - _ / are allowed, with a letter or digit at both ends"
    elif "//" in entity:
        why = "two slashes in a row are not allowed"
    if why:
        raise InvalidError(
            "Invalid queue name",
            f'{entity!r}, for the table {table}: {why}. Set a name: queues = {{ "{table}" = "..." }}',
            path="config.queues",
        )


def chosen(delivered: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return the delivered tables that match `patterns` (with or without schema, `*` and `?` are wildcards).

    Without patterns, returns all delivered tables. If the input does not declare its tables, returns the patterns.
    Raises InvalidError for a pattern that matches no table.
    """
    delivered, patterns = list(delivered), list(patterns)
    if not delivered:
        if wild := next((each for each in patterns if any(c in each for c in "*?[")), None):
            raise InvalidError(
                "Tables are not known",
                f"{wild} requires the input's list of tables, and this input does not have one: name each table",
                path="config.tables",
            )
        return list(dict.fromkeys(patterns))
    if not patterns:
        return delivered
    found = []
    for at, pattern in enumerate(patterns):
        matching = [each for each in delivered if matches(each, pattern)]
        if not matching:
            names = ", ".join(delivered[:20])
            raise InvalidError(
                "Table not found",
                f"{pattern} is not among the tables of the input: {names}",
                path=f"config.tables[{at}]",
            )
        found += matching
    return list(dict.fromkeys(found))


def matches(name: str, pattern: str) -> bool:
    """Return whether a pattern matches a table: by its name, without its schema, or with an omitted default schema.

    The SQL Server input delivers `dbo.Cars` as `Cars`.
    """
    if fnmatchcase(name, pattern) or ("." not in pattern and fnmatchcase(parts(name)[1], pattern)):
        return True
    schema, table = parts(pattern)
    return "." not in name and schema.lower() in _DEFAULT_SCHEMAS and fnmatchcase(name, table)
