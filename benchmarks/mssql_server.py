"""The stand-in for SQL Server as a process of its own, with a captured table full of changes, for mssql_reader.py.

Prints its connection string and ends with its standard input. What rows look like on the wire is kept after the first
reading, so that the server's own work is small.
"""

import sys

from tests.services.mssql.server import SqlServer

TABLE = "Id bigint primary key, Customer nvarchar(40), Amount decimal(12, 2), At datetime2(7), Note nvarchar(300)"


def main() -> None:
    """Fill a table with as many rows as the argument says, and serve."""
    rows = int(sys.argv[1])
    with SqlServer(keep_encoded=True) as server:
        database = server.create_database("bench")
        database.create_table("Events", TABLE)
        database.cdc.enable_table("Events")
        for first in range(0, rows, 1000):
            with database.transaction() as t:
                t.insert_rows(
                    "Events",
                    [
                        (n, f"customer {n % 5000}", f"{n / 7:.2f}", f"2026-01-01T00:00:00.{n % 10**7:07}", "x" * 280)
                        for n in range(first, min(first + 1000, rows))
                    ],
                )
        print(server.connection_string("bench"), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
