"""postgres_publication: the tables and operations of a logical replication stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstream_postgres.advice import without_key
from dstream_postgres.identity import UNIDENTIFIED
from dstream_postgres.names import Table, parse_tables, quote
from dstream_postgres.resources.server import Server, server_of
from dstream_postgres.settings import OPERATIONS, Connection
from dstream_sdk import ConflictError, InvalidError, Object, ResourceContext, ResourceType, setting

_READ = (
    "SELECT p.oid::bigint, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate"
    " FROM pg_publication p WHERE p.pubname = %s"
)
_MEMBERS = (
    "SELECT n.nspname, c.relname FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = %s ORDER BY 1, 2"
)
_MARKER = "created by dstream, intent "


@dataclass(frozen=True, kw_only=True)
class PublicationAttributes:
    """What a publication is."""

    name: str = setting(description="name of the publication")
    tables: list[str] = setting(description="tables: name or schema.name")
    operations: list[str] = setting(list(OPERATIONS), description="what is published: insert, update, delete, truncate")
    allow_tables_without_key: bool = setting(
        False, description="publish updates and deletes of tables without a key, on which the server then refuses both"
    )
    oid: int = setting(
        description="the publication's number in the catalog; it changes when the publication is created again"
    )


class Publication(ResourceType[Connection]):
    """A publication. Tables and operations change in place: tables that stay are not touched, so that their
    readers see no gap."""

    type = "postgres_publication"
    attributes = PublicationAttributes
    version = 2
    computed = ("oid",)
    replace = ("name",)
    identity_attributes = ("name",)

    def read(
        self, ctx: ResourceContext[Connection], identity: Mapping[str, Any], prior: Object | None
    ) -> Object | None:
        """The publication as it is; spelling and order of the lists follow `prior` where they mean the same."""
        with server_of(ctx.config, "read the publication") as server:
            return _read(server, str(identity["name"]), prior.attributes if prior else {})

    def create(self, ctx: ResourceContext[Connection], desired: Mapping[str, Any], intent: str | None) -> Object:
        """CREATE PUBLICATION, with the intent in its comment."""
        name, tables, operations = str(desired["name"]), _tables(desired), _operations(desired)
        with server_of(ctx.config, f"create the publication {name}") as server:
            if intent and (made := _find(server, intent)) == name:
                return _existing(server, made, desired)
            if server.run(_READ, (name,)):
                raise ConflictError(
                    "Publication exists",
                    f"there is a publication {name!r} already, which dstream did not make. Import it, or choose "
                    "another name.",
                )
            _check_keys(server, tables, operations, desired)
            with server.transaction():
                # ONLY: children of an inheritance tree are tables of their own, and are listed if they are wanted.
                listed = ", ".join(f"ONLY {table.sql}" for table in tables)
                server.run(
                    f"CREATE PUBLICATION {quote(name)} FOR TABLE {listed}"
                    f" WITH (publish = '{', '.join(operations)}', publish_via_partition_root = true)"
                )
                if intent:
                    server.run(f"COMMENT ON PUBLICATION {quote(name)} IS %s", (_MARKER + intent,))
            return _existing(server, name, desired)

    def update(self, ctx: ResourceContext[Connection], prior: Object, desired: Mapping[str, Any]) -> Object:
        """ALTER PUBLICATION: adds and drops the tables that differ, in one transaction."""
        name, published, operations = str(desired["name"]), _tables(desired), _operations(desired)
        with server_of(ctx.config, f"change the publication {name}") as server:
            found = server.run(_READ, (name,))
            if not found:
                raise ConflictError("Publication does not exist", f"{name!r} was dropped meanwhile; plan again")
            present = {Table(*row) for row in server.run(_MEMBERS, (found[0][0],))}
            more = set(_published(found[0])) != set(operations)
            _check_keys(server, [table for table in published if more or table not in present], operations, desired)
            with server.transaction():
                if added := [f"ONLY {table.sql}" for table in published if table not in present]:
                    server.run(f"ALTER PUBLICATION {quote(name)} ADD TABLE {', '.join(added)}")
                if dropped := [table.sql for table in sorted(present) if table not in published]:
                    server.run(f"ALTER PUBLICATION {quote(name)} DROP TABLE {', '.join(dropped)}")
                if set(_published(found[0])) != set(operations):
                    server.run(f"ALTER PUBLICATION {quote(name)} SET (publish = '{', '.join(operations)}')")
            return _existing(server, name, desired)

    def upgrade(
        self, ctx: ResourceContext[Connection], attributes: Mapping[str, Any], version: int
    ) -> Mapping[str, Any]:
        """Version 1 published tables without a key and did not ask."""
        return {"allow_tables_without_key": False, **attributes}

    def delete(self, ctx: ResourceContext[Connection], prior: Object) -> None:
        """DROP PUBLICATION IF EXISTS."""
        name = str(prior.identity["name"])
        with server_of(ctx.config, f"drop the publication {name}") as server:
            server.run(f"DROP PUBLICATION IF EXISTS {quote(name)}")

    def find(self, ctx: ResourceContext[Connection], intent: str) -> Object | None:
        """The publication whose comment holds the intent."""
        with server_of(ctx.config, "look for a publication") as server:
            name = _find(server, intent)
            return None if name is None else _read(server, name, {})


def _find(server: Server, intent: str) -> str | None:
    found = server.run(
        "SELECT p.pubname FROM pg_publication p"
        " JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_publication'::regclass"
        " WHERE d.description = %s",
        (_MARKER + intent,),
    )
    return str(found[0][0]) if found else None


def _existing(server: Server, name: str, spelled: Mapping[str, Any]) -> Object:
    found = _read(server, name, spelled)
    if found is None:
        raise ConflictError("Publication does not exist", f"{name!r} was dropped meanwhile; plan again")
    return found


def _read(server: Server, name: str, spelled: Mapping[str, Any]) -> Object | None:
    found = server.run(_READ, (name,))
    if not found:
        return None
    oid, all_tables = found[0][:2]
    tables = ["*"] if all_tables else [Table(*row).spelled for row in server.run(_MEMBERS, (oid,))]
    operations = _published(found[0])
    if _same_tables(spelled.get("tables"), tables):
        tables = list(spelled["tables"])
    if set(spelled.get("operations") or ()) == set(operations):
        operations = list(spelled["operations"])
    allowed = spelled.get("allow_tables_without_key") is True
    attributes = {
        "name": name,
        "tables": tables,
        "operations": operations,
        "allow_tables_without_key": allowed,
        "oid": oid,
    }
    return Object({"name": name}, attributes)


def _check_keys(server: Server, tables: Sequence[Table], operations: Sequence[str], desired: Mapping[str, Any]) -> None:
    """Raise InvalidError for tables on which the server would refuse what applications do."""
    if desired.get("allow_tables_without_key") is True or not {"update", "delete"} & set(operations):
        return
    found = server.run(UNIDENTIFIED, ([table.schema for table in tables], [table.name for table in tables]))
    if found:
        broken = [Table(*row) for row in found]
        raise without_key(broken, path="tables", setting="allow_tables_without_key")


def _published(row: Sequence[Any]) -> list[str]:
    return [operation for operation, on in zip(OPERATIONS, row[2:6], strict=True) if on]


def _same_tables(spelled: Any, tables: list[str]) -> bool:
    if not isinstance(spelled, list) or not spelled:
        return False
    try:
        return {table.spelled for table in parse_tables(spelled)} == set(tables)
    except ValueError:
        return False


def _tables(desired: Mapping[str, Any]) -> tuple[Table, ...]:
    try:
        tables = parse_tables(desired["tables"])
    except ValueError as problem:
        raise InvalidError("Invalid table", str(problem), path="tables") from None
    if not tables:
        raise InvalidError("No tables", "a publication names at least one table", path="tables")
    return tables


def _operations(desired: Mapping[str, Any]) -> list[str]:
    operations = list(desired.get("operations") or OPERATIONS)
    if unknown := [name for name in operations if name not in OPERATIONS]:
        raise InvalidError(
            "Invalid operation", f"{', '.join(unknown)}: there are {', '.join(OPERATIONS)}", path="operations"
        )
    return operations
