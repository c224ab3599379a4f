"""The PostgreSQL input with time between a snapshot and the log's position; with MUTANT, it hands over by position.

Comparing positions is what is commonly done, and loses what commits between the two.
"""

from __future__ import annotations

import os
import time

from dstream_postgres import messages, relations, snapshot
from dstream_postgres.__main__ import run_input

position = 0
until: dict[str, int] = {}
rows, parse_begin, with_table = snapshot.rows, messages.parse_begin, snapshot.TableSnapshot


def slow_rows(connection, query, *arguments):
    if snapshot.WRITTEN in query:
        time.sleep(0.5)
    return rows(connection, query, *arguments)


def noting_begin(payload):
    global position
    position, xid = parse_begin(payload)
    return position, xid


class ByPosition(relations.Visibility):
    """Takes every transaction that committed before the position for one that the snapshot holds."""

    __slots__ = ()

    def sees(self, xid):
        return position <= max(until.values(), default=0)


def noting_snapshot(text="", lsn=0, **more):
    until[text] = lsn
    return with_table(text, lsn, **more)


snapshot.rows = slow_rows
if os.environ.get("MUTANT"):
    messages.parse_begin = noting_begin
    snapshot.TableSnapshot = noting_snapshot
    relations.Visibility = ByPosition

if __name__ == "__main__":
    run_input()
