"""One connection of the stand-in: packets, prelogin, TLS inside of TDS, login, and requests until the client goes."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.services.mssql import tokens
from tests.services.mssql.functions import Value
from tests.services.mssql.model import Login, SqlError
from tests.services.mssql.session import Result, Session
from tests.services.mssql.types import encode, read_parameter

if TYPE_CHECKING:
    from tests.services.mssql.server import SqlServer

BATCH, RPC, REPLY, ATTENTION, TRANSACTION, LOGIN, PRELOGIN = 1, 3, 4, 6, 14, 16, 18
_HEADER = struct.Struct(">BBHHBx")
_NOT_ENCRYPTED, _ENCRYPTED, _NOT_SUPPORTED, _REQUIRED = 0, 1, 2, 3


class Closed(Exception):
    """The client went away."""


class Dropped(Exception):
    """A fault: break the connection here."""


class Connection:
    """Serves one client."""

    def __init__(self, server: SqlServer, raw: socket.socket, number: int) -> None:
        self._server, self._socket, self._number = server, raw, number
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._packet_size = 4096
        self._packet = 0
        self._session: Session | None = None
        self._pending = b""
        self._closing = self._clear_after_login = False

    def abort(self) -> None:
        """Break it from another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Answer requests until the client goes."""
        try:
            self._prelogin()
            if self._login():
                while True:
                    kind, data = self._receive()
                    self._request(kind, data)
        except (Closed, Dropped, OSError, ssl.SSLError):
            pass
        finally:
            if self._session is not None:
                self._session.end()
            with contextlib.suppress(OSError):
                self._socket.close()

    # Bytes and packets

    def _read(self, count: int) -> bytes:
        while len(self._pending) < count:
            if self._tls is None:
                got = self._socket.recv(65536)
                if not got:
                    raise Closed
                self._pending += got
                continue
            try:
                self._pending += self._tls.read(65536)
            except ssl.SSLWantReadError:
                got = self._socket.recv(65536)
                if not got:
                    raise Closed from None
                self._incoming.write(got)
        out, self._pending = self._pending[:count], self._pending[count:]
        return out

    def _write(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        self._socket.sendall(data)

    def _receive(self) -> tuple[int, bytes]:
        parts = []
        while True:
            kind, status, length, _, _ = _HEADER.unpack(self._read(8))
            parts.append(self._read(length - 8))
            if status & 1:
                return kind, b"".join(parts)

    def _send(self, kind: int, payload: Iterable[bytes]) -> None:
        """Write a message, packet by packet, as its parts come."""
        room = self._packet_size - 8
        waiting = bytearray()
        self._packet = 0
        for part in payload:
            waiting += part
            if len(waiting) <= room:
                continue
            full = (len(waiting) - 1) // room * room
            view = memoryview(bytes(waiting[:full]))
            self._write(b"".join(self._header(kind, 0, room) + view[at : at + room] for at in range(0, full, room)))
            del waiting[:full]
        self._write(self._header(kind, 1, len(waiting)) + bytes(waiting))

    def _header(self, kind: int, status: int, size: int) -> bytes:
        self._packet = (self._packet + 1) % 256
        return _HEADER.pack(kind, status, size + 8, self._number, self._packet)

    # Opening

    def _prelogin(self) -> None:
        kind, data = self._receive()
        if kind != PRELOGIN:
            raise Closed
        asked = tokens.read_prelogin(data)
        wanted = asked.get(1, b"\x02")[0]
        encryption = _NOT_SUPPORTED
        if self._server.encrypt:
            # A client that did not want to is told that it has to.
            encryption = _ENCRYPTED if wanted in (_ENCRYPTED, _REQUIRED) else _REQUIRED
            if self._server.login_only and wanted in (_NOT_ENCRYPTED, _NOT_SUPPORTED):
                encryption = wanted
        fields = {0: bytes((16, 0, 0x10, 0x27, 0, 0)), 1: bytes((encryption,)), 2: b"\0", 3: b"", 4: b"\0"}
        if 6 in asked:
            fields[6] = b"\x01"
        self._send(REPLY, [tokens.prelogin(fields)])
        if encryption != _NOT_SUPPORTED:
            self._start_tls()
        self._clear_after_login = encryption == _NOT_ENCRYPTED

    def _start_tls(self) -> None:
        """The handshake travels inside of packets of prelogin; what follows is the other way round."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._server.certificate)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if self._outgoing.pending:
                    self._send(PRELOGIN, [self._outgoing.read()])
                kind, data = self._receive()
                if kind != PRELOGIN:
                    raise Closed from None
                self._incoming.write(data)
        if self._outgoing.pending:
            self._send(PRELOGIN, [self._outgoing.read()])
        self._tls = tls

    def _login(self) -> bool:
        kind, data = self._receive()
        if kind != LOGIN:
            raise Closed
        asked = tokens.read_login(data)
        server = self._server
        server.seen.logins += 1
        server.seen.clear_logins += self._tls is None
        if self._clear_after_login:
            self._tls = None
        login: Login | None
        if asked.token is not None:
            login = server.tokens.get(asked.token)
        else:
            login = server.logins.get(asked.user.lower())
            login = login if login is not None and login.password == asked.password else None
        if login is None:
            name = asked.user if asked.token is None else "<token-identified principal>"
            self._send(REPLY, [tokens.error(SqlError(18456, f"Login failed for user '{name}'.", 14)), tokens.done(2)])
            return False
        database = server.databases.get(asked.database.lower())
        refused = server.login_fault()
        if database is None:
            problem = f'Cannot open database "{asked.database}" requested by the login. The login failed.'
            refused = refused or SqlError(4060, problem, 11)
        elif server.flavour.read_only and not asked.read_only:
            problem = (
                f"The target database ('{asked.database}') is in an availability group and is currently accessible"
            )
            problem += " for connections when the application intent is set to read only."
            refused = refused or SqlError(978, problem, 14)
        if refused is not None or database is None:
            assert refused is not None
            answer = [
                tokens.error(refused),
                tokens.error(SqlError(18456, f"Login failed for user '{login.name}'.", 14)),
                tokens.done(2),
            ]
            self._send(REPLY, answer)
            return False
        self._session = Session(server, login, database, self._number)
        size = min(max(asked.packet_size, 512), 32767)
        by_token = asked.token is not None
        route = server.routes_to if asked.read_only else None
        self._send(REPLY, [tokens.login_answer(database.name, size, self._packet_size, by_token, route)])
        self._packet_size = size
        return True

    # Requests

    def _request(self, kind: int, data: bytes) -> None:
        assert self._session is not None
        if kind == ATTENTION:
            self._send(REPLY, [tokens.done(0x20)])
            return
        (headers,) = struct.unpack_from("<I", data)
        body = data[headers:]
        if kind == TRANSACTION:
            self._transaction(body)
            return
        parameters: dict[str, Value] = {}
        if kind == BATCH:
            text = body.decode("utf-16-le")
        elif kind == RPC:
            text, parameters = _read_rpc(body)
        else:
            raise Closed
        self._server.seen.statements.append(text)
        if self._server.before is not None:
            self._server.before(text)
        kept = self._server.keep_encoded
        if kept is None:
            self._send(REPLY, self._answer(text, parameters, kind == RPC))
        else:
            asked = (text, str(parameters))
            if asked not in kept:
                kept[asked] = b"".join(self._answer(text, parameters, kind == RPC))
            self._send(REPLY, [kept[asked]])
        if self._closing:
            raise Dropped  # an error as severe as that ends the connection

    def _answer(self, text: str, parameters: dict[str, Value], procedure: bool) -> Iterable[bytes]:
        assert self._session is not None
        fault = self._server.fault_for(text)
        end = tokens.done_procedure if procedure else tokens.done
        try:
            if fault is not None and fault.error is not None:
                raise fault.error
            results = list(self._session.execute(text, parameters))
            for number, result in enumerate(results):
                more = 1 if number < len(results) - 1 or procedure else 0
                count = 0
                if result.fields:
                    yield tokens.columns(result.fields)
                    for count, row in enumerate(_encoded(result), 1):
                        if fault is not None and fault.error is None and count > fault.after_rows:
                            raise Dropped
                        yield row
                if fault is not None and fault.error is None:
                    raise Dropped
                yield (tokens.done_in_procedure if procedure else tokens.done)(0x10 | more, count)
            if procedure:
                yield tokens.return_status(0) + tokens.done_procedure(0)
        except SqlError as problem:
            yield tokens.error(problem)
            yield end(2)
            self._closing = problem.severity >= 20

    def _transaction(self, body: bytes) -> None:
        assert self._session is not None
        (request,) = struct.unpack_from("<H", body)
        if request == 5:
            number = self._session.begin(body[2])
            self._send(REPLY, [tokens.transaction(8, number, 0), tokens.done(0)])
            return
        number = self._session.transaction
        self._session.end()
        self._send(REPLY, [tokens.transaction(9 if request == 7 else 10, 0, number), tokens.done(0)])


def _encoded(result: Result) -> Iterable[bytes]:
    """ROW and NBCROW tokens: the latter wherever a value is NULL, as servers since 2008 do."""
    kinds = [(kind, nullable) for _, kind, nullable in result.fields]
    size = (len(kinds) + 7) // 8
    for row in result.rows:
        if None in row:
            bitmap = bytearray(size)
            parts = []
            for at, ((kind, nullable), value) in enumerate(zip(kinds, row, strict=True)):
                if value is None:
                    bitmap[at // 8] |= 1 << at % 8
                else:
                    parts.append(encode(kind, nullable, value))
            yield b"\xd2" + bytes(bitmap) + b"".join(parts)
        else:
            yield b"\xd1" + b"".join(
                [encode(kind, nullable, value) for (kind, nullable), value in zip(kinds, row, strict=True)]
            )


def _read_rpc(body: bytes) -> tuple[str, dict[str, Value]]:
    """The text and parameters of sp_executesql; of any other procedure the text of an EXEC."""
    (length,) = struct.unpack_from("<H", body)
    if length == 0xFFFF:
        (number,) = struct.unpack_from("<H", body, 2)
        name, at = {10: "sp_executesql"}.get(number, f"procedure {number}"), 4
    else:
        name, at = body[2 : 2 + length * 2].decode("utf-16-le"), 2 + length * 2
    at += 2
    found: list[tuple[str, Value]] = []
    while at < len(body):
        size = body[at]
        parameter = body[at + 1 : at + 1 + size * 2].decode("utf-16-le")
        kind, value, at = read_parameter(body, at + 2 + size * 2)
        found.append((parameter, (kind, value)))
    if name.lower() == "sp_executesql":
        return str(found[0][1][1]), {name.lstrip("@").lower(): value for name, value in found[2:]}
    named = ", ".join(f"{name} = {name}" for name, _ in found)
    if not re.fullmatch(r"[\w.]+", name):
        raise Closed
    return f"EXEC {name} {named}", {name.lstrip("@").lower(): value for name, value in found}
