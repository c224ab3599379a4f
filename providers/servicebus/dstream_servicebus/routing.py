"""Router: decides by the TableName of an envelope to which entity it is sent, or whether it is skipped or rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dstream_sdk import InvalidError, Stream
from dstream_servicebus.names import Naming, check, matches
from dstream_servicebus.planning import entities_of, tables_of
from dstream_servicebus.settings import OutputSettings


@dataclass(frozen=True, slots=True)
class Route:
    """The destination of an envelope: an entity, none (skipped), or the dead letters with a reason."""

    entity: str = ""
    skip: bool = False
    reason: str = ""
    discover: bool = False
    """Whether the host must create the entity first."""


class Router:
    """Routes by table. The decision is made once for each table."""

    def __init__(
        self, config: OutputSettings, naming: Naming, streams: Sequence[Stream], exists: Callable[[str], bool | None]
    ) -> None:
        """`exists` returns whether an entity exists, None if that cannot be determined."""
        self._config, self._naming, self._exists = config, naming, exists
        self._discovered = {stream.name for stream in streams if stream.discovered}
        self._delivered = [stream.name for stream in streams]
        self.tables = tables_of(config, streams)
        self.entities = entities_of(config, naming.task, streams)
        """The entities of the task."""
        later = {naming.of(name) for name in self._discovered}
        self.planned = [entity for entity in self.entities if entity not in later]
        """The entities of the plan. An entity for a discovered table is checked when it is needed."""
        self._entity = naming.all_of(self.tables)
        self._known: dict[str, Route] = {}

    def route(self, table: str) -> Route:
        """Return the route of a table. Raises InvalidError for an unknown one if `on_unknown_table` is "fail"."""
        found = self._known.get(table)
        if found is None:
            found = self._known[table] = self._decide(table)
        return found

    def _decide(self, table: str) -> Route:
        if table in self._entity:
            entity = self._entity[table]
            # The creation may have been interrupted: request it again.
            if table in self._discovered and self._exists(entity) is False:
                return Route(discover=True)
            return Route(entity)
        near = [each for each in self._entity if matches(table, each) or matches(each, table)] if table else []
        if len(near) == 1:
            return Route(self._entity[near[0]])
        if any(matches(table, each) or matches(each, table) for each in self._delivered):
            return Route(skip=True)  # the input delivers it, and `tables` excludes it
        if self._naming.shared and not self._config.tables:
            return Route(self.entities[0])
        return self._unknown(table)

    def _unknown(self, table: str) -> Route:
        if table and self._config.on_unknown_table == "create":
            check(self._naming.of(table), table)
            return Route(discover=True)
        what = f"the table {table!r}" if table else "an envelope without TableName"
        known = ", ".join(self.tables[:20]) or "none"
        if self._config.on_unknown_table == "reject":
            return Route(reason=f"unknown table: {what} has no {self._config.entity}; known tables: {known}")
        raise InvalidError(
            "Unknown table",
            f"{what} has no {self._config.entity}; known tables: {known}. List it in tables and apply, or set "
            'on_unknown_table to "create" or "reject"',
            path="config.on_unknown_table",
        )
