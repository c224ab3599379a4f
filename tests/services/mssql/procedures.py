"""System procedures of the stand-in: enabling and disabling change data capture, and extended properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from tests.services.mssql.model import SqlError

if TYPE_CHECKING:
    from tests.services.mssql.query import Query
    from tests.services.mssql.session import Session

Arguments = Mapping[str, Any]


def call(session: Session, query: Query, statement: exp.Execute) -> None:
    """EXEC of a procedure with named arguments. SqlError 2812 if there is none such."""
    name = statement.this.name.lower()
    found = _PROCEDURES.get(name)
    if found is None:
        raise SqlError(2812, f"Could not find stored procedure '{name}'.")
    arguments = {}
    for one in statement.expressions:
        if not isinstance(one, exp.EQ):
            raise SqlError(119, "Must pass parameters as '@name = value' here.", 15)
        arguments[one.this.name.lower()] = query.compile(one.expression, [])[0](())
    with session.database.lock:
        found(session, arguments)


def _owner(session: Session) -> None:
    if not session.login.owner:
        raise SqlError(22904, "Caller is not authorized to initiate the requested action. DBO privileges are required.")


def _administrator(session: Session) -> None:
    """Who enables a database: sysadmin, but in Azure SQL Database, which has none, db_owner."""
    if session.server.flavour.azure:
        _owner(session)
    elif not session.login.sysadmin:
        raise SqlError(
            22902, "Caller is not authorized to initiate the requested action. Sysadmin privileges are required."
        )


def _enable_db(session: Session, arguments: Arguments) -> None:
    _administrator(session)
    session.database.cdc.enable()


def _disable_db(session: Session, arguments: Arguments) -> None:
    _administrator(session)
    session.database.cdc.disable()


def _enable_table(session: Session, arguments: Arguments) -> None:
    _owner(session)
    columns = arguments.get("captured_column_list")
    session.database.cdc.enable_table(
        f"{arguments['source_schema']}.{arguments['source_name']}",
        instance=arguments.get("capture_instance"),
        columns=None if columns is None else [one.strip().strip("[]") for one in columns.split(",")],
        role=arguments["role_name"],
        supports_net_changes=arguments.get("supports_net_changes"),
    )


def _disable_table(session: Session, arguments: Arguments) -> None:
    _owner(session)
    session.database.cdc.disable_table(
        f"{arguments['source_schema']}.{arguments['source_name']}", arguments["capture_instance"]
    )


def _property(arguments: Arguments) -> tuple[str, str, str]:
    if not arguments.get("level0type"):
        return "", "", arguments["name"]
    return arguments["level0name"], arguments["level1name"], arguments["name"]


def _add_property(session: Session, arguments: Arguments) -> None:
    _owner(session)
    key = _property(arguments)
    if key in session.database.properties:
        raise SqlError(15233, f"Property cannot be added. Property '{key[2]}' already exists for the object specified.")
    session.database.properties[key] = arguments["value"]


def _update_property(session: Session, arguments: Arguments) -> None:
    _owner(session)
    key = _property(arguments)
    if key not in session.database.properties:
        raise SqlError(15217, f"Property cannot be updated or deleted. Property '{key[2]}' does not exist.")
    session.database.properties[key] = arguments["value"]


def _drop_property(session: Session, arguments: Arguments) -> None:
    _owner(session)
    key = _property(arguments)
    if key not in session.database.properties:
        raise SqlError(15217, f"Property cannot be updated or deleted. Property '{key[2]}' does not exist.")
    del session.database.properties[key]


def _change_job(session: Session, arguments: Arguments) -> None:
    _owner(session)
    if arguments["job_type"] == "cleanup" and arguments.get("retention") is not None:
        others = any(one.cdc.jobs for one in session.server.databases.values())
        in_database = session.server.flavour.azure or others
        session.database.cdc.change_retention(arguments["retention"], in_database=in_database)


def _cleanup_change_table(session: Session, arguments: Arguments) -> None:
    _owner(session)
    session.database.cdc.cleanup_table(
        arguments["capture_instance"], int.from_bytes(arguments["low_water_mark"], "big")
    )


_PROCEDURES: dict[str, Callable[[Session, Arguments], None]] = {
    "sp_cdc_enable_db": _enable_db,
    "sp_cdc_disable_db": _disable_db,
    "sp_cdc_enable_table": _enable_table,
    "sp_cdc_disable_table": _disable_table,
    "sp_cdc_change_job": _change_job,
    "sp_cdc_cleanup_change_table": _cleanup_change_table,
    "sp_addextendedproperty": _add_property,
    "sp_updateextendedproperty": _update_property,
    "sp_dropextendedproperty": _drop_property,
}
