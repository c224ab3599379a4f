"""A stand-in for SQL Server that speaks TDS 7.4: prelogin, TLS, login by password or token, batches, RPC, transactions.

    with SqlServer() as server:
        database = server.create_database("shop")
        database.create_table("Orders", "Id int primary key, Total decimal(10, 2)")
        connect(server.connection_string("shop"))

No SQL Server can be had where these tests run. What it knows of SQL Server is Microsoft's documentation: MS-TDS for the
wire, and the pages on change data capture for the model (cdc.py). It was never compared with a real server.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from tests.services.mssql.connection import Connection
from tests.services.mssql.flavours import BOX, Flavour
from tests.services.mssql.model import Clock, Database, Login, SqlError


@dataclass(slots=True)
class Fault:
    """What happens to a request whose text contains `when`: an error, or a dropped connection after some rows."""

    when: str
    error: SqlError | None = None
    after_rows: int = 0
    times: int = 1


@dataclass(slots=True)
class Seen:
    """What clients did."""

    statements: list[str] = field(default_factory=list)
    logins: int = 0
    clear_logins: int = 0
    """Logins whose password came unencrypted."""
    open_now: int = 0
    most_open: int = 0


class SqlServer:
    """One server on a free port of 127.0.0.1, in threads of this process.

    With `encrypt` it has a certificate and demands TLS; with `login_only` too, it leaves that to the client, but
    encrypts the login in any case. `flavours.py` says what each flavour refuses.
    """

    def __init__(
        self,
        *,
        encrypt: bool = False,
        login_only: bool = False,
        keep_encoded: bool = False,
        flavour: Flavour = BOX,
        names: tuple[str, ...] = ("127.0.0.1", "localhost"),
    ) -> None:
        self.flavour, self._names = flavour, names
        self.clock = Clock()
        self.databases: dict[str, Database] = {}
        self.logins = {"sa": Login("sa", "Secret-1", sysadmin=True)}
        self.tokens: dict[str, Login] = {}
        """Access tokens that are let in."""
        self.encrypt, self.login_only = encrypt, login_only
        self.keep_encoded: dict[Any, bytes] | None = {} if keep_encoded else None
        """Answers as they go over the wire, by request: for measurements, while nothing changes."""
        self.seen = Seen()
        self.routes_to: tuple[str, int] | None = None
        """Where the listener of an availability group sends connections with read intent (read-only routing:
        configure-read-only-routing-for-an-availability-group-sql-server); Azure SQL redirects in the same way."""
        self.before: Callable[[str], None] | None = None
        """Called with the text of each request before it is answered."""
        self.certificate = ""
        self.authority = ""
        self._faults: list[Fault] = []
        self._login_faults: list[SqlError] = []
        self._numbers = itertools.count(51)
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self._folder = TemporaryDirectory(prefix="dstds-")
        if encrypt:
            self._make_certificate()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def create_database(self, name: str, *, cdc: bool = True) -> Database:
        """A fresh database, enabled for change data capture unless told otherwise."""
        made = self.databases[name.lower()] = Database(name, len(self.databases) + 5, self.clock)
        if cdc:
            made.cdc.enable()
        return made

    def connection_string(self, database: str, login: str = "sa") -> str:
        """What clients are given."""
        found = self.logins[login]
        encryption = f"Encrypt=yes;ServerCertificateAuthority={self.authority}" if self.encrypt else "Encrypt=no"
        return (
            f"Server=tcp:127.0.0.1,{self.port};Database={database};User ID={found.name};Password={found.password};"
            f"{encryption}" + (";ApplicationIntent=ReadOnly" if self.flavour.read_only else "")
        )

    def start(self) -> None:
        """Listen; on the same port as before after a `stop`."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64, reuse_port=False)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True, name="mssql").start()

    def stop(self) -> None:
        """Go away: nobody can connect, all connections break."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.kill_sessions()

    def kill_sessions(self) -> None:
        """Break all connections, as a failover would."""
        with self._lock:
            found = list(self._connections)
        for one in found:
            one.abort()

    def fail(self, when: str, number: int, message: str, *, times: int = 1, severity: int = 16) -> None:
        """Answer the next requests that contain `when` with an error."""
        self._faults.append(Fault(when, SqlError(number, message, severity), times=times))

    def fail_login(self, number: int, message: str, *, times: int = 1, severity: int = 16) -> None:
        """Refuse the next logins with an error; as a server does, 18456 follows it."""
        with self._lock:
            self._login_faults += [SqlError(number, message, severity)] * times

    def allow_logins(self) -> None:
        """Refuse no further logins."""
        with self._lock:
            self._login_faults.clear()

    def login_fault(self) -> SqlError | None:
        """The error that a login meets, if any."""
        with self._lock:
            return self._login_faults.pop(0) if self._login_faults else None

    def drop(self, when: str, *, after_rows: int = 0, times: int = 1) -> None:
        """Break the connection while the next requests that contain `when` are answered."""
        self._faults.append(Fault(when, None, after_rows, times))

    def fault_for(self, text: str) -> Fault | None:
        """The fault that a request meets, if any."""
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and fault.when.lower() in text.lower():
                    fault.times -= 1
                    return fault
        return None

    def next_number(self) -> int:
        """A number for a session or a transaction."""
        with self._lock:
            return next(self._numbers)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, accepted, self.next_number())
            with self._lock:
                self._connections.add(connection)
                self.seen.open_now += 1
                self.seen.most_open = max(self.seen.most_open, self.seen.open_now)
            threading.Thread(target=self._serve, args=(connection,), daemon=True, name="mssql-session").start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                self._connections.discard(connection)
                self.seen.open_now -= 1

    def _make_certificate(self) -> None:
        import trustme

        authority = trustme.CA()
        folder = Path(self._folder.name)
        authority.cert_pem.write_to_path(folder / "ca.pem")
        authority.issue_cert(*self._names).private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        self.authority, self.certificate = str(folder / "ca.pem"), str(folder / "server.pem")
