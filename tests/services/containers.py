"""A container engine for tests: the one of this machine, or docker started by hand for as long as the tests run.

    with engine() as environment: ...       # what a client needs in its environment
    with engine("podman") as environment: ...
    images(environment, {"name:tag": ("dstream-in-counter", "dstream_counter")})

A docker that answers is used as it is. Otherwise, as root on Debian, docker's daemon is started with a folder of its
own, without a bridge and without touching the firewall; where the machine does not have it, its packages are
downloaded to `.cache/docker` and unpacked there. podman has to be installed; it gets a folder of its own for its
images, and as root runc as well: crun does not start with the control groups and limits of every machine. Where none of
this can be done, EngineMissing says why, and the tests are skipped. Images are made of this machine's Python, so that
nothing has to be pulled.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import dstream_sdk

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "docker"
PACKAGES = ("docker.io", "containerd", "runc", "tini", "libnfnetlink0", "libnetfilter-conntrack3", "libnftnl11")
_LEFT_OUT = ("test", "tests", "idlelib", "lib2to3", "tkinter", "ensurepip", "site-packages", "turtledemo")


class EngineMissing(RuntimeError):
    """There is no container engine on this machine, and none can be started."""


@contextlib.contextmanager
def engine(name: str = "docker", authority: str | None = None) -> Iterator[dict[str, str]]:
    """Yield the environment in which `docker` or `podman` answers; raise EngineMissing where that cannot be had.

    `authority` is a file of certificates that it trusts; a docker that was not started here cannot be told.
    """
    more = {"SSL_CERT_FILE": authority} if authority is not None else {}
    with _podman() if name == "podman" else _docker(more) as environment:
        yield {**environment, **more}


@contextlib.contextmanager
def _podman() -> Iterator[dict[str, str]]:
    program = shutil.which("podman")
    if program is None:
        raise EngineMissing("podman is not installed here: apt-get install podman")
    with tempfile.TemporaryDirectory(prefix="podman-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environment = {"DSTREAM_CONTAINER_ENGINE": program, "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}
        if os.geteuid() == 0:
            runc = shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or str(_programs() / "runc")
            (folder / "containers.conf").write_text(
                '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
                f'[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\n[engine.runtimes]\nrunc = ["{runc}"]\n'
            )
            environment["CONTAINERS_CONF"] = str(folder / "containers.conf")
        elif "XDG_RUNTIME_DIR" in os.environ:
            environment["XDG_RUNTIME_DIR"] = os.environ["XDG_RUNTIME_DIR"]  # where it keeps what is running
        for driver in ("overlay", "vfs"):  # the first shares layers, and not every file system can do it
            (folder / "storage.conf").write_text(
                f'[storage]\ndriver = "{driver}"\nrunroot = "{folder}/run-{driver}"\n'
                f'graphroot = "{folder}/{driver}"\nrootless_storage_path = "{folder}/{driver}"\n'
            )
            done = _run([program, "info"], environment=environment)
            if done.returncode == 0:
                break
        else:
            raise EngineMissing(f"podman does not answer: {done.stderr.strip()[-300:]}")
        try:
            yield environment
        finally:
            _run([program, "rm", "-f", "-a"], environment=environment)


@contextlib.contextmanager
def _docker(more: dict[str, str]) -> Iterator[dict[str, str]]:
    found = shutil.which("docker")
    if not more and found and _run([found, "version", "--format", "{{.Server.Version}}"]).returncode == 0:
        yield {"DSTREAM_CONTAINER_ENGINE": found}
        return
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        why = "does not answer" if not more else "runs already, or does not, with authorities of its own"
        raise EngineMissing(f"docker {why}, and only root can start one")
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="dsdk-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environment = {
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DSTREAM_CONTAINER_ENGINE": str(programs / "docker"),
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        command = [str(programs / "dockerd"), "--data-root", f"{folder}/data", "--exec-root", f"{folder}/run"]
        command += ["-H", f"unix://{folder}/docker.sock", "-p", f"{folder}/pid", "--iptables=false"]
        command += ["--ip-masq=false", "--ip-forward=false", "--bridge=none"]
        libraries = sorted({str(each.parent) for each in CACHE.rglob("*.so.*")})
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment, **more, "LD_LIBRARY_PATH": os.pathsep.join(libraries)},
                start_new_session=True,
            )
        try:
            if not _answers(process, folder / "docker.sock"):
                said = (folder / "log").read_text()[-300:]
                raise EngineMissing(f"docker's daemon does not start on this machine: {said}")
            yield environment
        finally:
            process.terminate()  # it ends its containerd and unmounts what it has mounted
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


@functools.cache
def _programs() -> Path:
    """Return a folder with docker, dockerd and what they start."""
    dockerd = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    needed = ("docker", "dockerd", "containerd", "runc")
    if dockerd and all(shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") for name in needed):
        return _linked(CACHE / "system", {name: str(shutil.which(name, path="/usr/bin:/usr/sbin")) for name in needed})
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / ".docker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Test workers start at the same time; one of them fetches.
        if not (CACHE / "usr" / "sbin" / "dockerd").exists():
            _fetch()
    folders = ("bin", "sbin", "bin", "sbin")
    places = {name: CACHE / "usr" / folder / name for name, folder in zip(needed, folders, strict=True)}
    extra = {each.name: str(each) for each in (CACHE / "usr" / "bin").iterdir()}
    return _linked(CACHE / "unpacked", {**extra, **{name: str(place) for name, place in places.items()}})


def _linked(folder: Path, programs: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, place in programs.items():
        link = folder / name
        if not link.is_symlink() and place != "None":
            with contextlib.suppress(FileExistsError):
                link.symlink_to(place)
    return folder


def _fetch() -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise EngineMissing("docker does not answer, and this is no Debian to fetch it from")
    with tempfile.TemporaryDirectory() as folder:
        done = _run(["apt-get", "download", *PACKAGES], folder)
        if done.returncode:
            _run(["apt-get", "update"], folder)  # a fresh machine has no lists yet
            done = _run(["apt-get", "download", *PACKAGES], folder)
        packages = sorted(Path(folder).glob("*.deb"))
        if done.returncode or len(packages) < len(PACKAGES):
            raise EngineMissing(f"docker cannot be fetched: {done.stderr.strip()[-200:]}")
        for package in packages:
            _run(["dpkg-deb", "-x", str(package), str(CACHE)], folder)


def _answers(process: subprocess.Popen[bytes], address: Path) -> bool:
    """Wait until a daemon answers. (Docker's client takes as much processor time as a short test, each time.)"""
    until = time.monotonic() + 200
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(address))
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            if b" 200 " in client.recv(64):
                return True
        time.sleep(0.1)
    return False


def images(environment: dict[str, str], wanted: dict[str, tuple[str, str]]) -> None:
    """Make images that run a module of an installed distribution, with this machine's Python and the SDK.

    `wanted` has the distribution and the module for each tag. They share one layer, which holds all of them.
    """
    folders = [_metadata("dstream-sdk"), Path(dstream_sdk.__file__).parent]
    for name, module in wanted.values():
        folders += [_metadata(name), Path(str(importlib.import_module(module).__file__)).parent]
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            _add_python(archive)
            for folder in folders:
                archive.add(folder, f"packages/{folder.name}", filter=_slim)
        file.seek(0)
        variables = ("PYTHONHOME=/python", "LD_LIBRARY_PATH=/lib:/python/lib", "PYTHONPATH=/packages")
        changes = [word for each in variables for word in ("--change", f"ENV {each}")]  # podman takes one in each
        base = _engine(environment, "import", *changes, "--change", "USER 65534", "-", stdin=file)
    for tag, (_, module) in wanted.items():
        entry = f'ENTRYPOINT ["/python/bin/python", "-m", "{module}"]'
        container = _engine(environment, "create", "--network", "none", base, "/none")
        _engine(environment, "commit", "--change", entry, "--change", "CMD []", container, tag)
        _engine(environment, "rm", container)


def _metadata(name: str) -> Path:
    from importlib.metadata import distribution

    return Path(str(distribution(name)._path))  # type: ignore[attr-defined]  # there is no public name


def _engine(environment: dict[str, str], *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> str:
    command = [environment["DSTREAM_CONTAINER_ENGINE"], *arguments]
    done = subprocess.run(command, stdin=stdin, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _add_python(archive: tarfile.TarFile) -> None:
    python = Path(sys.executable).resolve()
    archive.add(python, "python/bin/python")
    library = Path(sysconfig.get_path("stdlib"))
    archive.add(library, f"python/lib/{library.name}", filter=_slim)
    modules = Path(sysconfig.get_config_var("DESTSHARED") or library / "lib-dynload")
    seen: set[str] = set()
    for program in (python, *modules.glob("*.so")):
        for line in _run(["ldd", str(program)]).stdout.splitlines():
            match = re.search(r"(?:(\S+) => )?(/\S+) \(0x", line)
            if match and match[2] not in seen:
                seen.add(match[2])
                inside = match[2].lstrip("/") if "ld-linux" in match[2] else f"lib/{match[1] or Path(match[2]).name}"
                archive.add(Path(match[2]).resolve(), inside)
    for folder in ("tmp", "proc", "dev", "sys", "etc"):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o777 if folder == "tmp" else 0o755
        archive.addfile(entry)


def _slim(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(entry.name).parts
    if any(part in _LEFT_OUT or part.startswith("config-3") for part in parts) or entry.name.endswith(".a"):
        return None
    return entry


def _run(
    command: list[str], folder: str | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return subprocess.CompletedProcess(command, 1, "", str(problem))
