"""A real sshd of the tests' own: it runs as whoever runs the tests, on a free port, and takes one key."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
_SECONDS = 120.0
CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
PidFile {folder}/pid
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AcceptEnv WORD PULUMI_COMMAND_STDOUT PULUMI_COMMAND_STDERR
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Sshd:
    """Where it listens, and who may come in."""

    port: int
    user: str
    key: Path


@contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """Run an sshd with its files in `folder`; skip the test where there is none."""
    program, keygen = shutil.which("sshd", path=_PLACES), shutil.which("ssh-keygen")
    if program is None or keygen is None:
        pytest.skip("there is no sshd on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=60)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd has itself be shut in, as root
    serving = subprocess.Popen([program, "-D", "-e", "-f", folder / "config"], stderr=(folder / "log").open("wb"))
    try:
        _wait(serving, port, folder / "log")
        yield Sshd(port, getpass.getuser(), folder / "user")
    finally:
        serving.terminate()
        serving.wait(10)


def _wait(serving: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert serving.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
