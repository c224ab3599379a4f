"""Three ways to read the same replication stream, by the processor time of this process, in alternating order.

- `socket`: the messages are cut out of the bytes of the socket (`frames`), which an unencrypted connection allows.
- `ctypes`: each message by a call of psycopg2's libpq through ctypes (`copyboth`), as on an encrypted connection.
- `pq`: each message by a call of psycopg 3's `PGconn.get_copy_data`, its implementation in C.

No way confirms anything, so every round reads the same rows. psycopg 3 is not a dependency; install it
to run this: `.venv/bin/python -m pip install psycopg psycopg-binary`.
"""

import argparse
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks.postgres_reader import copies, drop, write
from benchmarks.postgres_writer import TABLE
from dstream_postgres.copyboth import CopyBoth, Replication
from dstream_postgres.frames import Frames
from tests.services.postgres import EmbeddedPostgres

INSERT = ord("I")
COMMAND = "START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'bench')"
_HEADER, _KEEPALIVE, _TOGETHER = 25, 18, 256


class Pq(Replication):
    """The stream by psycopg 3's `pq`, with the loop of `CopyBoth.read`."""

    def __init__(self, dsn: str, command: str) -> None:
        super().__init__()
        from psycopg import pq
        from psycopg.conninfo import make_conninfo

        if pq.__impl__ != "binary":
            raise SystemExit(f"psycopg's implementation is {pq.__impl__}, and not the one in C")
        self.connection = pq.PGconn.connect(make_conninfo(dsn, replication="database").encode())
        result = self.connection.exec_(command.encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise SystemExit(result.error_message.decode())
        self.connection.nonblocking = 1

    def read(self) -> list[bytes]:
        """The payloads of the changes that have arrived, in order."""
        get = self.connection.get_copy_data
        found: list[bytes] = []
        consumed = False
        while len(found) < _TOGETHER:
            length, data = get(1)
            if length > _KEEPALIVE:
                found.append(bytes(data[_HEADER:]))
            elif length > 0:
                self._kept_alive(bytes(data))
            elif length < 0:
                raise SystemExit("the server has ended the stream")
            elif found or consumed:
                break
            else:
                self.connection.consume_input()
                consumed = True
        return found

    def _answer(self, message: bytes) -> None:
        self.connection.put_copy_data(message)
        self.connection.flush()


@contextmanager
def by_psycopg2(server: EmbeddedPostgres, slot: str, way: str) -> Iterator[tuple[int, Replication]]:
    """Open the stream as the input does; yield its socket and the stream."""
    import psycopg2.extras

    command = COMMAND.format(slot=slot)
    connection: Any = psycopg2.connect(server.dsn(), connection_factory=psycopg2.extras.LogicalReplicationConnection)
    try:
        if way == "socket":
            stream: Replication = Frames(connection)
            stream.start(command)  # type: ignore[attr-defined]  # of Frames alone
        else:
            connection.cursor().start_replication_expert(command, decode=False)
            stream = CopyBoth(connection)
        yield connection.fileno(), stream
    finally:
        connection.close()


@contextmanager
def by_pq(server: EmbeddedPostgres, slot: str, way: str) -> Iterator[tuple[int, Replication]]:
    """The same by psycopg 3."""
    stream = Pq(server.dsn(), COMMAND.format(slot=slot))
    try:
        yield stream.connection.socket, stream
    finally:
        stream.connection.finish()


WAYS: dict[str, Callable[[EmbeddedPostgres, str, str], Any]] = {
    "socket": by_psycopg2,
    "ctypes": by_psycopg2,
    "pq": by_pq,
}


def read(server: EmbeddedPostgres, way: str, rows: int) -> float:
    """Read all rows from a new slot; return the nanoseconds of processor time for each."""
    copies(server, way)
    with WAYS[way](server, way, way) as (socket, stream):
        seen = 0
        spent = time.process_time()
        while seen < rows:
            found = stream.read()
            for payload in found:
                if payload[0] == INSERT:
                    seen += 1
            if not found:
                select.select([socket], [], [])
        spent = time.process_time() - spent
    drop(server, way)
    return spent / rows * 1e9


def import_time(module: str) -> float:
    """Milliseconds of processor time that an import takes in a new process, the lowest of five."""
    script = f"import time; s = time.process_time(); import {module}; print(time.process_time() - s)"
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout for _ in range(5)]
    return min(map(float, runs)) * 1000


def main() -> int:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=300_000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    with EmbeddedPostgres(settings={"max_wal_size": "8GB", "checkpoint_timeout": "30min"}) as server:
        server.execute(TABLE)
        server.execute("CREATE PUBLICATION bench FOR TABLE events")
        server.execute("SELECT pg_create_logical_replication_slot('origin', 'pgoutput')")
        write(server, given.rows, 100)
        print(
            f"{given.rows:,} rows, nanoseconds of processor time for each\n{'round':6}"
            + "".join(f"{w:>9}" for w in WAYS)
        )
        for number in range(given.rounds):
            for way in list(WAYS) if number % 2 else reversed(list(WAYS)):
                taken[way].append(read(server, way, given.rows))
            print(f"{number + 1:<6}" + "".join(f"{taken[way][-1]:9,.0f}" for way in WAYS), flush=True)
        drop(server, "origin")
    print(f"{'median':6}" + "".join(f"{median(taken[way]):9,.0f}" for way in WAYS))
    print(
        "import, ms: " + ", ".join(f"{name} {import_time(name):.0f}" for name in ("psycopg2", "psycopg.pq", "psycopg"))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
