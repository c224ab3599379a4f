"""TLS for the driver, by Python's own `ssl`.

python-tds does TLS through pyOpenSSL, and checks host names by calls that current versions of pyOpenSSL no longer have.
Its three functions that concern TLS are replaced here: the handshake travels inside of packets of prelogin, what
follows inside of the channel, and where only the login is encrypted the connection goes back to clear text.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any

_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Encryption:
    """How to encrypt: whom to trust, and what the certificate has to say."""

    verify: bool
    host_name: str
    """What the certificate has to name; empty for the server that is connected to, also after a redirect."""
    authority: str = ""


def install() -> None:
    """Give the driver this TLS in place of its own."""
    import pytds.tls

    module: Any = pytds.tls
    module.OPENSSL_AVAILABLE = True
    module.create_context = lambda encryption: encryption
    module.establish_channel = establish_channel
    module.revert_to_clear = revert_to_clear


def context_of(encryption: Encryption) -> ssl.SSLContext:
    """The context of a connection. OSError if the authorities' file cannot be read."""
    context = ssl.create_default_context(cafile=encryption.authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not encryption.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Channel:
    """A socket of the driver whose bytes are encrypted."""

    def __init__(self, clear: Any, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self.clear, self._tls, self._incoming, self._outgoing = clear, tls, incoming, outgoing

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Encrypt and send all."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
            self.clear.sendall(self._outgoing.read())

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; 0 at the end."""
        size = size or len(buffer)
        while True:
            try:
                # With a buffer `read` returns how much it has written there.
                return int(self._tls.read(size, buffer))
            except ssl.SSLWantReadError:
                if not self._fill():
                    return 0
            except ssl.SSLEOFError:
                return 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive some bytes; none at the end."""
        buffer = bytearray(size)
        return bytes(buffer[: self.recv_into(buffer, size)])

    def _fill(self) -> bool:
        if self._outgoing.pending:
            self.clear.sendall(self._outgoing.read())
        data = self.clear.recv(_CHUNK)
        if not data:
            return False
        self._incoming.write(data)
        return True

    def settimeout(self, timeout: float | None) -> None:
        """Set the time that sending and receiving may take."""
        self.clear.settimeout(timeout)

    def gettimeout(self) -> float | None:
        """That time."""
        found: float | None = self.clear.gettimeout()
        return found

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection."""
        self.clear.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self.clear.close()


def establish_channel(session: Any) -> None:
    """The handshake, in packets of prelogin; then the session's socket is a Channel. ssl.SSLError."""
    from pytds import tds_base

    connection = session.conn
    encryption: Encryption = connection._login.tls_ctx
    host_name = encryption.host_name or str(connection._login.server_name)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context_of(encryption).wrap_bio(incoming, outgoing, server_hostname=host_name)
    reader, writer = session._reader, session._writer
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            if outgoing.pending:
                writer.begin_packet(tds_base.PacketType.PRELOGIN)
                writer.write(outgoing.read())
                writer.flush()
            reader.begin_response()
            while not reader.stream_finished():
                incoming.write(bytes(reader.recv(_CHUNK)))
    if outgoing.pending:
        writer.begin_packet(tds_base.PacketType.PRELOGIN)
        writer.write(outgoing.read())
        writer.flush()
    _use(session, Channel(connection.sock, tls, incoming, outgoing))


def revert_to_clear(session: Any) -> None:
    """Where only the login is encrypted: what follows is clear text."""
    if isinstance(session.conn.sock, Channel):
        _use(session, session.conn.sock.clear)


def _use(session: Any, transport: Any) -> None:
    session.conn.sock = transport
    session._reader._transport = transport
    session._writer._transport = transport
