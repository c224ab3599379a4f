"""Consequences: where the input would continue, what it would read again, and how long the server keeps the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from dstream_postgres.database import connect, rows
from dstream_postgres.history import differs
from dstream_postgres.lsn import format_lsn, parse_lsn
from dstream_postgres.names import Table
from dstream_postgres.position import Position
from dstream_postgres.preflight import given_findings, privilege_findings, read_access, read_server, server_findings
from dstream_postgres.published import read_publication
from dstream_postgres.settings import InputSettings
from dstream_postgres.source import FLUSHED, Gap, gaps, inspect
from dstream_postgres.stream import identify
from dstream_postgres.survey import Surveyed, look_at
from dstream_sdk import Consequence, Finding, PlanContext, Prior, ProviderError

_HOUR = 3600
_SLOT = (
    "SELECT to_jsonb(s) || jsonb_build_object('kept', pg_wal_lsn_diff(e.lsn, s.restart_lsn),"  # noqa: S608 - constants
    " 'inactive_for', extract(epoch FROM now() - (to_jsonb(s) ->> 'inactive_since')::timestamptz),"
    " 'idle_limit', (SELECT setting::bigint FROM pg_settings WHERE name = 'idle_replication_slot_timeout'))"
    f" FROM pg_replication_slots s, (SELECT {FLUSHED} AS lsn) e WHERE slot_name = %s"
)
_SHORT_HOURS = 24
"""A slot that is lost within this time is a breaking consequence."""

Reported = Iterator[Consequence | Finding]


def consequences(connection: Any, config: InputSettings, tables: Sequence[Table], context: PlanContext) -> Reported:
    """What happens to the data of a task, and what it would fail on. Raises ProviderError, psycopg2.Error."""
    slot, publication = config.slot_name(context.task), config.publication_name(context.task)
    surveyed = look_at(connection, tables, publication, slot)
    server, access = read_server(connection), read_access(connection, tables)
    found = rows(connection, _SLOT, (slot,))
    state: Mapping[str, Any] | None = found[0][0] if found else None
    lost = state is not None and state.get("wal_status") == "lost"
    stored = context.prior.checkpoint
    position = None if stored is None else Position.from_json(stored, map(str, tables))
    unread = _unread(config, tables, position)
    published = _published(connection, publication)
    yield from server_findings(connection, config, server, has_slot=state is not None)
    yield from given_findings(connection, config, context.task, tables)
    yield from privilege_findings(connection, config, server, publication, access, published=published, unread=unread)
    if position is not None and context.prior.running:
        yield _continues(position, context.prior)
    elif position is not None and server.replicates:
        yield from _resumption(connection, config, context, position, surveyed)
    elif lost:
        yield _invalidated(slot, config, certain=not config.manage)
    if state is not None and not lost:
        yield from _retention(connection, slot, state, position, context.prior)
    for table in tables:
        if table in unread and (one := surveyed.get(table)) is not None:
            yield Consequence(
                "snapshot", f"{table} is read from the beginning", stream=str(table), rows=one.rows, bytes=one.size
            )


def _unread(config: InputSettings, tables: Sequence[Table], position: Position | None) -> frozenset[Table]:
    """The tables whose rows the next run reads, unless changes are lost."""
    if position is None:
        return frozenset(tables if config.snapshot == "initial" else ())
    reading = {name for name, one in position.tables.items() if one.reading}
    new = (table for table in tables if config.snapshot == "initial" and str(table) not in position.members)
    return frozenset(new) | {table for table in tables if str(table) in reading}


def _published(connection: Any, publication: str) -> frozenset[Table]:
    try:
        return frozenset(read_publication(connection, publication, "").members)
    except ProviderError:  # It does not exist yet.
        return frozenset()


def _resumption(
    connection: Any,
    config: InputSettings,
    context: PlanContext,
    position: Position,
    surveyed: Mapping[Table, Surveyed],
) -> Reported:
    slot, publication = config.slot_name(context.task), config.publication_name(context.task)
    published = _published(connection, publication)
    followed = [table for table in surveyed if table in published]
    with closing(connect(config.connection_string, replication=True)) as replication:
        identity = identify(replication)
    try:
        source = inspect(connection, identity, slot, publication, followed, position.relations)
    except ProviderError as problem:
        if problem.summary == "Replication slot invalidated":
            yield _invalidated(slot, config, certain=config.on_gap == "fail" or not config.manage)
            return
        found = [Gap(problem.detail)]
    else:
        found = gaps(position, source)
        if not found and position.log and differs(config.connection_string, position.log):
            found = [Gap("the server's log before the checkpoint is another one: it was restored from an older copy")]
        if not found:
            yield _continues(position, context.prior, max(0, source.end - position.lsn))
            return
    reasons = "; ".join(gap.reason for gap in found).rstrip(".")
    lost = {gap.table for gap in found}
    if config.on_gap == "fail":
        yield Finding(
            "Resume not possible",
            f"{reasons}. The checkpoint at {format_lsn(position.lsn)} cannot be resumed without a gap.",
            f'on_gap = "snapshot", which empties the tables of the target and reads them again; or start over: dstream '
            f"checkpoint reset {context.task}",
            "config.on_gap",
        )
        return
    for table, one in surveyed.items():
        if (None in lost or str(table) in lost) and str(table) in position.members:
            yield Consequence(
                "reread",
                f"{table} is emptied in the target and read again",
                "breaking",
                f'{reasons}. on_gap is "snapshot".',
                str(table),
                one.rows,
                one.size,
            )


def _continues(position: Position, prior: Prior, behind: int | None = None) -> Consequence:
    text = f"reading continues at {format_lsn(position.lsn)}"
    return Consequence("resume", text, hours=_hours(prior.checkpoint_age), bytes=behind)


def _invalidated(slot: str, config: InputSettings, *, certain: bool) -> Finding:
    again = "" if config.on_gap == "snapshot" else 'on_gap = "snapshot", then '
    fix = f"{again}dstream apply -replace=ADDRESS, with the address of the slot; it loses the changes in between"
    return Finding(
        "Replication slot invalidated",
        f"the server removed log that the slot {slot} still needed.",
        fix if config.manage else f"drop the slot {slot} and create it again",
        "config.slot",
        certain,
    )


def _retention(
    connection: Any, slot: str, state: Mapping[str, Any], position: Position | None, prior: Prior
) -> Reported:
    """How long the server keeps what the slot needs, at the rate at which the log has grown since the checkpoint."""
    kept, safe, idle = state.get("kept"), state.get("safe_wal_size"), state.get("idle_limit")
    if safe is not None:
        hours = None
        if position is not None and prior.checkpoint_age:
            ((end,),) = rows(connection, f"SELECT ({FLUSHED})::text")
            rate = (parse_lsn(end) - position.lsn) / prior.checkpoint_age
            hours = max(0, safe) / rate / _HOUR if rate > 0 else None
        short = state.get("wal_status") == "unreserved" or (hours is not None and hours < _SHORT_HOURS)
        yield Consequence(
            "retention",
            f"the slot {slot} is lost after this much more log",
            "breaking" if short else "non-breaking",
            f"It keeps {kept or 0} bytes now. The time is that at the rate since the checkpoint.",
            bytes=max(0, safe),
            hours=_rounded(hours),
            fix="ALTER SYSTEM SET max_slot_wal_keep_size = ...; SELECT pg_reload_conf();",
        )
    if idle and state.get("inactive_for") is not None:
        left = max(0.0, float(idle) - float(state["inactive_for"])) / _HOUR
        yield Consequence(
            "retention",
            f"the slot {slot} is invalidated unless the task runs",
            "breaking" if left < _SHORT_HOURS else "non-breaking",
            "idle_replication_slot_timeout ends slots that no one reads.",
            hours=_rounded(left),
        )


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else _rounded(seconds / _HOUR)


def _rounded(hours: float | None) -> float | None:
    return None if hours is None else round(min(hours, 1e9), 2)
