"""Flavours of SQL Server that the stand-in can be, and what Microsoft documents that each refuses.

The pages are on learn.microsoft.com:

- BOX: SQL Server Agent runs the jobs, and `msdb.dbo.cdc_jobs` has them from the first captured table on
  (about-change-data-capture-sql-server, sys-sp-cdc-enable-table-transact-sql). Enabling takes sysadmin.
- AZURE, Azure SQL Database: a scheduler in place of the agent; `cdc.cdc_jobs` is in the database itself; db_owner
  enables (azure-sql/database/change-data-capture-overview). DB_ID() is not the number of sys.databases
  (db-id-transact-sql). A name in another database, such as any of `msdb`, is error 40515.
- MANAGED, Managed Instance: EngineEdition 8, an agent and `msdb` (transact-sql-tsql-differences-sql-server).
- SECONDARY, a readable replica of an availability group: it is only read (error 3906), with read intent only (978),
  and under snapshot isolation, so that hints for locks do nothing (active-secondaries-readable-secondary-replicas-
  always-on-availability-groups). Its own `msdb` has no job of the database (replicate-track-change-data-capture-always-
  on-availability).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flavour:
    """One of them."""

    name: str
    engine_edition: int
    edition: str
    version: str = "16.0.4135.4"
    azure: bool = False
    """No other database can be named, jobs are in the database itself, and there is no sysadmin."""
    read_only: bool = False
    """A readable secondary: nothing can be written, and locks are not taken."""


BOX = Flavour("box", 3, "Developer Edition (64-bit)")
AZURE = Flavour("azure", 5, "SQL Azure", "12.0.2000.8", azure=True)
MANAGED = Flavour("managed", 8, "SQL Azure", "12.0.2000.8")
SECONDARY = Flavour("secondary", 3, "Enterprise Edition (64-bit)", read_only=True)
FLAVOURS = (BOX, AZURE, MANAGED, SECONDARY)
