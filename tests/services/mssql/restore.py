"""Backup and restore of a database of the stand-in.

A restored database goes on from the log sequence number of the backup, so that later transactions get numbers that
earlier ones had (learn.microsoft.com: recovery-paths-sql-server; each restore begins a recovery fork). Its
service_broker_guid stays; ALTER DATABASE ... SET NEW_BROKER gives it another one while it is in use.
"""

from __future__ import annotations

import copy
import uuid
from typing import Any

from tests.services.mssql.model import Database

_OF_DATABASE = ("tables", "log", "altered", "lsn", "properties", "_next_object")


def backup(database: Database) -> dict[str, Any]:
    """The database as it is now, for `restore`."""
    with database.lock:
        own = {name: getattr(database, name) for name in _OF_DATABASE}
        cdc = {name: value for name, value in vars(database.cdc).items() if name != "_database"}
        return copy.deepcopy({"database": own, "cdc": cdc}, {id(database.clock): database.clock})


def restore(database: Database, saved: dict[str, Any]) -> None:
    """RESTORE DATABASE ... WITH KEEP_CDC: everything since the backup is gone."""
    again = copy.deepcopy(saved)
    with database.lock:
        for name, value in again["database"].items():
            setattr(database, name, value)
        for name, value in again["cdc"].items():
            setattr(database.cdc, name, value)


def new_broker(database: Database) -> None:
    """ALTER DATABASE ... SET NEW_BROKER WITH ROLLBACK IMMEDIATE."""
    database.guid = uuid.uuid4()
