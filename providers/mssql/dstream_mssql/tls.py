"""TLS for the driver, by Python's `ssl` module.

python-tds uses pyOpenSSL, and verifies host names by calls that current versions of pyOpenSSL no longer have. This
module replaces its three TLS functions: the handshake is sent in PRELOGIN packets, everything after it through the
channel, and the connection returns to clear text if only the login is encrypted.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any

_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Encryption:
    """Whether and how to verify the server's certificate."""

    verify: bool
    host_name: str
    """The expected host name; by default the server that is connected to, also after a redirect."""
    authority: str = ""


def install() -> None:
    """Replace the TLS functions of the driver."""
    import pytds.tls

    module: Any = pytds.tls
    module.OPENSSL_AVAILABLE = True
    module.create_context = lambda encryption: encryption
    module.establish_channel = establish_channel
    module.revert_to_clear = revert_to_clear


def context_of(encryption: Encryption) -> ssl.SSLContext:
    """Return the SSL context of a connection. Raises OSError if the CA file cannot be read."""
    context = ssl.create_default_context(cafile=encryption.authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not encryption.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Channel:
    """An encrypted socket for the driver."""

    def __init__(self, clear: Any, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self.clear, self._tls, self._incoming, self._outgoing = clear, tls, incoming, outgoing

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Encrypt and send `data`."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
            self.clear.sendall(self._outgoing.read())

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; 0 at the end."""
        size = size or len(buffer)
        while True:
            try:
                # With a buffer, `read` returns the number of bytes written to it.
                return int(self._tls.read(size, buffer))
            except ssl.SSLWantReadError:
                if not self._fill():
                    return 0
            except ssl.SSLEOFError:
                return 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive at most `size` bytes; b"" at the end."""
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
        """Set the timeout of sends and receives, in seconds."""
        self.clear.settimeout(timeout)

    def gettimeout(self) -> float | None:
        """Return the timeout."""
        found: float | None = self.clear.gettimeout()
        return found

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection."""
        self.clear.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self.clear.close()


def establish_channel(session: Any) -> None:
    """Perform the handshake in PRELOGIN packets, and make the session's socket a Channel. Raises ssl.SSLError."""
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
    """Return to clear text after an encrypted login."""
    if isinstance(session.conn.sock, Channel):
        _use(session, session.conn.sock.clear)


def _use(session: Any, transport: Any) -> None:
    session.conn.sock = transport
    session._reader._transport = transport
    session._writer._transport = transport
