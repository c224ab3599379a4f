"""Input: the objects that a task requires on the server, and its sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dstream_postgres.advice import advise
from dstream_postgres.names import Table, parse_table, parse_tables
from dstream_postgres.settings import InputSettings
from dstream_sdk import (
    Consequence,
    Deferred,
    Finding,
    Input,
    InputSession,
    InvalidError,
    Notice,
    PlanContext,
    ProviderError,
    Resource,
    Stream,
)

if TYPE_CHECKING:
    from dstream_postgres.survey import Surveyed

PUBLICATION, SLOT, REPLICA_IDENTITY = "postgres_publication", "postgres_replication_slot", "postgres_replica_identity"


class PostgresInput(Input[InputSettings]):
    """Change data of PostgreSQL tables, by logical replication through pgoutput."""

    discovers = True
    preloads = ("dstream_postgres.session", "psycopg2.errors", "psycopg2.extras")

    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream | Notice]:
        """The publication, the slot, replica identities; a stream per table, with its key and columns. Warns of what
        the tables are like; if the source cannot be asked, it says so, and plans all the same."""
        tables = tables_of(config)
        names = [table.spelled for table in tables]
        found: Mapping[Table, Surveyed] = {}
        try:
            found = self._survey(config, tables, context.task)
        except Deferred:
            yield _unchecked("the connection string is not known yet")
        except ProviderError as problem:
            yield _unchecked(problem.detail)
        else:
            yield from advise(config, tables, found, volume=not context.assessed)
        if config.manage:
            publication, slot = config.publication_name(context.task), config.slot_name(context.task)
            before = []
            if config.replica_identity:
                for name in names:
                    form = {"table": name, "identity": config.replica_identity}
                    yield Resource(REPLICA_IDENTITY, name, form)
                    before.append((REPLICA_IDENTITY, name))
            attributes: dict[str, Any] = {"name": publication, "tables": names, "operations": list(config.operations)}
            if config.allow_tables_without_key:
                attributes["allow_tables_without_key"] = True
            yield Resource(PUBLICATION, publication, attributes, depends_on=before)
            # The slot comes last: what is committed after it exists is decoded with the publication as it is then.
            yield Resource(SLOT, slot, {"name": slot}, depends_on=[(PUBLICATION, publication)])
        keys = keys_of(config)
        for table in tables:
            known = found.get(table)
            key = keys.get(table, known.key if known else ())
            yield Stream(str(table), key, columns=known.columns if known else ())

    def _survey(self, config: InputSettings, tables: Sequence[Table], task: str) -> Mapping[Table, Surveyed]:
        dsn = config.connection_string  # Deferred if it is not known: nothing is imported for it then

        from dstream_postgres.survey import survey

        return survey(dsn, tables, config.publication_name(task), config.slot_name(task))

    def consequences(self, config: InputSettings, context: PlanContext) -> Iterable[Consequence | Finding]:
        """Where it continues, what it reads again, how long the log is kept, and what would make it fail. Nothing if
        the source cannot be asked: `plan` has said so."""
        dsn, tables = config.connection_string, tables_of(config)

        import psycopg2

        from dstream_postgres.consequences import consequences
        from dstream_postgres.database import connect, error_of

        try:
            connection = connect(dsn, connect_timeout=5)
        except ProviderError:
            return
        try:
            yield from consequences(connection, config, tables, context)
        except psycopg2.Error as problem:
            raise error_of(problem, "look at the source", dsn) from None
        finally:
            connection.close()

    def open(self, config: InputSettings, session: InputSession) -> None:
        """Connect, inspect the source, and decide where to start."""
        from dstream_postgres.session import Session

        self._session = Session(config, session, tables_of(config), keys_of(config))
        self._session.prepare()

    def run(self, config: InputSettings, session: InputSession) -> None:
        """Read the rows of tables that are not read yet, then follow the slot."""
        self._session.run()


def _unchecked(reason: str) -> Notice:
    return Notice(
        "Source not checked",
        f"{reason}. Keys and columns of the tables, and the rows that the first run reads, are not known to this plan; "
        "`dstream apply` checks the keys.",
        "config.connection_string",
    )


def tables_of(config: InputSettings) -> tuple[Table, ...]:
    """The tables to follow. Raises InvalidError for what is not the name of one."""
    try:
        return parse_tables(config.tables)
    except ValueError as problem:
        raise InvalidError("Invalid setting", f"config.tables: {problem}", path="config.tables") from None


def keys_of(config: InputSettings) -> dict[Table, tuple[str, ...]]:
    """The keys that the configuration gives, by table. Raises InvalidError for a table that is not followed."""
    try:
        keys = {parse_table(name): tuple(columns) for name, columns in config.keys.items()}
    except ValueError as problem:
        raise InvalidError("Invalid setting", f"config.keys: {problem}", path="config.keys") from None
    followed = set(tables_of(config))
    for table in keys:
        if table not in followed:
            raise InvalidError("Invalid setting", f"config.keys: {table} is not in `tables`", path="config.keys")
    return keys
