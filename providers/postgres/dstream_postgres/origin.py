"""Origin: marks the transactions of an output as replicated, so that an input of the same database can skip them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg2
import psycopg2.errors

from dstream_postgres.database import rows
from dstream_postgres.settings import object_name
from dstream_sdk import ProviderError, log

_PATIENCE = 10.0


def origin_name(task: str, database: str, *, replay: bool = False) -> str:
    """The origin of a task that writes to a database: `dstream_TASK@DATABASE`. Origins belong to the server, not to a
    database, and only one session at a time can use one; a replay runs beside the task."""
    return f"{object_name(task)}@{database}{' replay' if replay else ''}"


def mark_session(connection: Any, task: str, *, replay: bool = False) -> None:
    """Have all that the session commits carry the replication origin of the task. Says so where it cannot be done.

    The connection is in autocommit mode. Raises psycopg2.Error for what has nothing to do with origins.
    """
    name = origin_name(task, connection.info.dbname, replay=replay)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if not rows(connection, "SELECT 1 FROM pg_replication_origin WHERE roname = %s", (name,)):
                rows(connection, "SELECT pg_replication_origin_create(%s)", (name,))
            rows(connection, "SELECT pg_replication_origin_session_setup(%s)", (name,))
        except psycopg2.errors.ObjectInUse as problem:
            # The session before is about to end.
            if time.monotonic() > deadline:
                _unmarked(name, problem)
                return
            time.sleep(0.1)
        except psycopg2.errors.UniqueViolation:
            continue  # made by another session at the same moment
        except (
            psycopg2.errors.InsufficientPrivilege,
            psycopg2.errors.ObjectNotInPrerequisiteState,
            psycopg2.errors.ConfigurationLimitExceeded,
        ) as problem:
            _unmarked(name, problem)
            return
        else:
            return


def drop(run: Callable[[str, Any], list[tuple[Any, ...]]], task: str) -> None:
    """Drop the origins of a task, if they are there and the role may. `run` raises ProviderError."""
    ((database,),) = run("SELECT current_database()", None)
    for name in (origin_name(task, database), origin_name(task, database, replay=True)):
        if run("SELECT 1 FROM pg_replication_origin WHERE roname = %s", (name,)):
            try:
                run("SELECT pg_replication_origin_drop(%s)", (name,))
            except ProviderError as problem:
                log(f"the replication origin {name} stays: {problem.detail}")


def _unmarked(name: str, problem: BaseException) -> None:
    log(
        f"what is written does not carry the replication origin {name} ({' '.join(str(problem).split())}): an input of "
        "this database that leaves replicated changes out cannot tell these from others"
    )
