"""A real OCI registry (CNCF distribution) for tests, with or without a login and TLS, each on a port of its own.

    with registry(folder) as server: ...                       # plain http on loopback
    with registry(folder, login=("ada", "secret"), tls=True) as server: ...
    python -m tests.services.registry --install

The program is looked for on the PATH (`docker-registry` of Debian, `registry` elsewhere), then in `.cache/registry` of
this repository. Where it is in neither, it is fetched there without root: Debian's package is downloaded and unpacked,
else Go builds it from its module. Where neither can be done, RegistryMissing says why, and the tests are skipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "registry"
MODULE = "github.com/distribution/distribution/v3/cmd/registry@v3.0.0"
_NAMES = ("docker-registry", "registry")


class RegistryMissing(RuntimeError):
    """There is no registry on this machine, and it could not be fetched."""


@dataclass(frozen=True)
class Registry:
    """A running registry."""

    host: str
    """`127.0.0.1:PORT`, or `localhost:PORT` with TLS."""
    storage: Path
    """Where it keeps its blobs."""
    environment: dict[str, str]
    """What a client needs in its environment to reach it: a certificate authority."""
    login: tuple[str, str] | None

    def blob(self, digest: str) -> Path:
        """The file in which the registry keeps some content."""
        algorithm, _, encoded = digest.partition(":")
        return self.storage / "docker" / "registry" / "v2" / "blobs" / algorithm / encoded[:2] / encoded / "data"

    def docker_config(self, folder: Path) -> Path:
        """Write a config.json of docker with the login; return its folder."""
        import base64

        folder.mkdir(parents=True, exist_ok=True)
        auth = base64.b64encode(":".join(self.login or ("", "")).encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": auth}}}))
        return folder


@functools.cache
def ensure_registry() -> str:
    """Return the registry's program, fetched unless it is there; raise RegistryMissing where that cannot be done."""
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    if found := _kept():
        return found
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / ".registry.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Test workers start at the same time; one of them fetches.
        if found := _kept():
            return found
        problems = []
        for fetch in (_from_debian, _from_go):
            problem = fetch()
            if problem is None and (found := _kept()):
                return found
            problems.append(str(problem))
    raise RegistryMissing("no OCI registry: " + "; ".join(problems))


def _kept() -> str | None:
    for path in (CACHE / "usr" / "bin" / "docker-registry", CACHE / "bin" / "registry"):
        if os.access(path, os.X_OK):
            return str(path)
    return None


def _from_debian() -> str | None:
    """Download and unpack Debian's package; return what hinders."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return "this is no Debian"
    with tempfile.TemporaryDirectory() as folder:
        done = _run(["apt-get", "download", "docker-registry"], folder)
        if done.returncode and os.geteuid() == 0:
            _run(["apt-get", "update"], folder)  # a fresh machine has no lists yet
            done = _run(["apt-get", "download", "docker-registry"], folder)
        packages = list(Path(folder).glob("*.deb"))
        if not packages:
            return f"apt-get download docker-registry: {done.stderr.strip()[-200:]}"
        CACHE.mkdir(parents=True, exist_ok=True)
        done = _run(["dpkg-deb", "-x", str(packages[0]), str(CACHE)], folder)
        return None if done.returncode == 0 else f"dpkg-deb: {done.stderr.strip()[-200:]}"


def _from_go() -> str | None:
    """Build the registry from its Go module; return what hinders."""
    go = shutil.which("go")
    if go is None:
        return "there is no Go to build it with"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GOBIN": str(CACHE / "bin"), "CGO_ENABLED": "0", "GOFLAGS": ""}
        done = _run([go, "install", MODULE], folder, environment)
        return None if done.returncode == 0 else f"go install: {done.stderr.strip()[-200:]}"


def _run(
    command: list[str], folder: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return subprocess.CompletedProcess(command, 1, "", str(problem))


@contextlib.contextmanager
def registry(
    folder: Path, *, login: tuple[str, str] | None = None, tls: bool = False, address: str = "127.0.0.1"
) -> Iterator[Registry]:
    """Run a registry whose storage is below `folder` for as long as the context lasts."""
    program = ensure_registry()
    folder.mkdir(parents=True, exist_ok=True)
    environment: dict[str, str] = {}
    http: list[str] = []
    if tls:
        import trustme

        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", address)
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        http = ["  tls:", f"    certificate: {folder}/server.pem", f"    key: {folder}/server.pem"]
        environment["SSL_CERT_FILE"] = str(folder / "ca.pem")
    auth: list[str] = []
    if login is not None:
        import bcrypt

        hashed = bcrypt.hashpw(login[1].encode(), bcrypt.gensalt(4)).decode()
        (folder / "htpasswd").write_text(f"{login[0]}:{hashed}\n")
        auth = ["auth:", "  htpasswd:", "    realm: tests", f"    path: {folder}/htpasswd"]
    storage = folder / "storage"
    for attempt in range(5):
        port = _free_port()
        lines = ["version: 0.1", "log:", "  level: warn", "  accesslog:", "    disabled: true", "storage:"]
        lines += ["  delete:", "    enabled: true", "  filesystem:", f"    rootdirectory: {storage}"]
        lines += ["http:", f"  addr: {address}:{port}", *http, *auth]
        (folder / "registry.yml").write_text("\n".join(lines) + "\n")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "serve", str(folder / "registry.yml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
        try:
            if _answers(process, f"{address}:{port}", tls):
                host = "localhost" if tls and address == "127.0.0.1" else address
                yield Registry(f"{host}:{port}", storage, environment, login)
                return
        finally:
            process.kill()
            process.wait(20)
        if attempt == 4:
            raise RuntimeError(f"the registry did not start: {(folder / 'log').read_text()[-2000:]}")


def _answers(process: subprocess.Popen[bytes], host: str, tls: bool) -> bool:
    import ssl

    context = ssl._create_unverified_context() if tls else None
    until = time.monotonic() + 200
    while time.monotonic() < until and process.poll() is None:
        try:
            url = f"http{'s' if tls else ''}://{host}/v2/"
            urllib.request.urlopen(url, timeout=5, context=context).close()
            return True
        except urllib.error.HTTPError as problem:
            if problem.code == 401:
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def own_address() -> str | None:
    """Return an address of this machine that is not loopback, which engines trust without TLS; None if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address = str(probe.getsockname()[0])
        return None if address.startswith("127.") else address


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    if sys.argv[1:] != ["--install"]:
        sys.exit("usage: python -m tests.services.registry --install")
    try:
        print(ensure_registry())
    except RegistryMissing as missing:
        print(f"{missing}; the tests that need it will be skipped", file=sys.stderr)
