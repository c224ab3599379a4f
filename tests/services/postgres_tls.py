"""PostgreSQL over TLS: a server of this machine that has TLS, or TLS in front of one that has none.

The programs in the wheel are built without OpenSSL. `TlsFront` answers as a server with `ssl = on` does (PostgreSQL
documentation, "SSL Session Encryption"): it takes the request for TLS, asks for a client certificate, and passes on
what it decrypts. `TlsServer` is the real thing, from programs on the PATH.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import trustme

from tests.services.postgres import EmbeddedPostgres

_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
"""SSLRequest."""
_FIELDS = b"SFATAL\0VFATAL\0C28000\0Mconnection requires a valid client certificate\0\0"
_NO_CERTIFICATE = b"E" + (len(_FIELDS) + 4).to_bytes(4, "big") + _FIELDS
"""ErrorResponse."""
_PIECE = 1 << 16


@dataclass(frozen=True)
class Certificates:
    """The authority's certificate, the server's and the client's, with their keys, as files in `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("ca", "other"):
            authority = trustme.CA()
            authority.cert_pem.write_to_path(self.path(f"{name}.pem"))
            for role, identity in (("server", "localhost"), ("client", "postgres")):
                made = authority.issue_cert(identity, common_name=identity)
                made.private_key_pem.write_to_path(self.path(f"{name}-{role}.key"))
                self.path(f"{name}-{role}.key").chmod(0o600)
                for pem in made.cert_chain_pems:
                    pem.write_to_path(self.path(f"{name}-{role}.pem"), append=True)

    def path(self, name: str) -> Path:
        """A file: ca.pem, ca-server.pem, ca-server.key, ca-client.pem, ca-client.key; the same of `other`."""
        return self.folder / name

    def dsn(self, port: int, dbname: str, *, host: str = "localhost", authority: str = "ca", client: str = "ca") -> str:
        """A connection URL that checks the server's certificate and shows one; `client` is empty for none."""
        shown = {"sslcert": self.path(f"{client}-client.pem"), "sslkey": self.path(f"{client}-client.key")}
        files = {"sslrootcert": self.path(f"{authority}.pem"), **(shown if client else {"sslcert": "/nowhere"})}
        settings = "&".join(f"{name}={quote(str(path), safe='')}" for name, path in files.items())
        return f"postgresql://postgres@{host}:{port}/{quote(dbname)}?sslmode=verify-full&{settings}"


class TlsFront:
    """TLS in front of a server, as a context manager; `port` on all addresses of this machine's loopback."""

    def __init__(self, server: EmbeddedPostgres, certificates: Certificates) -> None:
        self.port = 0
        self.encrypted = 0
        """How many connections have shown a client certificate that is good."""
        self._socket = server.folder / "run" / f".s.PGSQL.{server.port}"
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.path("ca.pem")))
        self._context.load_cert_chain(certificates.path("ca-server.pem"), certificates.path("ca-server.key"))
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _listen(self) -> int:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._listener.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(_REQUEST)) != _REQUEST:
                writer.close()  # as a server whose pg_hba.conf has hostssl lines only refuses it
                return
            writer.write(b"S")
            await writer.start_tls(self._context)
            if not writer.get_extra_info("peercert"):
                writer.write(_NO_CERTIFICATE)
                writer.close()
                return
            self.encrypted += 1
            there, back = await asyncio.open_unix_connection(str(self._socket))
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()


def programs_with_tls() -> Path | None:
    """The `bin` folder of a server on the PATH that was built with OpenSSL, if there is one."""
    found = shutil.which("postgres")
    if found is None:
        return None
    folder = Path(found).resolve().parent
    config = subprocess.run([folder / "pg_config", "--configure"], capture_output=True, text=True, check=False)
    return folder if "openssl" in config.stdout else None


class TlsServer(EmbeddedPostgres):
    """A server with `ssl = on` that lets in only who shows a certificate for the role `postgres`."""

    def __init__(self, programs: Path, certificates: Certificates) -> None:
        self._tree = Path(tempfile.mkdtemp(prefix="pgtls-", dir="/tmp"))
        self._tree.chmod(0o755)
        share = subprocess.run([programs / "pg_config", "--sharedir"], capture_output=True, text=True, check=True)
        for name in ("package/pginstall", "package.libs"):
            (self._tree / name).mkdir(parents=True)
        (self._tree / "package/pginstall/bin").symlink_to(programs)
        (self._tree / "package/pginstall/share").symlink_to(share.stdout.strip())
        self._certificates = certificates
        super().__init__(tcp=True, package=self._tree / "package")

    def create(self) -> None:
        """Make the cluster, with TLS."""
        super().create()
        data = self.folder / "data"
        for name in ("ca.pem", "ca-server.pem", "ca-server.key"):
            shutil.copy(self._certificates.path(name), data / name)
            (data / name).chmod(0o600)
            self._own(data / name)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\nssl_ca_file = 'ca.pem'\nssl_cert_file = 'ca-server.pem'\n")
            settings.write("ssl_key_file = 'ca-server.key'\n")
        (data / "pg_hba.conf").write_text(
            "local all all trust\nhostssl all all 127.0.0.1/32 cert\nhostssl replication all 127.0.0.1/32 cert\n"
        )
        self._own(data / "pg_hba.conf")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        shutil.rmtree(self._tree, ignore_errors=True)
