"""Typing dstream commands in a folder, as a user would."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services import command_server
from tests.services.forked import Forked
from tests.services.interpreter import INTERPRETER

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = Path(sys.executable).parent
LONGEST = 280.0
"""Seconds after which a command has failed: what pytest gives a test, less the time to say so."""


@dataclass(frozen=True)
class Ended:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything that was printed."""
        return self.out + self.err


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which commands are typed: this one, with our programs first on the PATH."""
    path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "NO_COLOR": "1", **(extra or {})}


def dstream(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    given: str = "",
    timeout: float = LONGEST,
    fresh: bool = False,
) -> Ended:
    """Run `dstream ARGUMENTS` in a folder to its end, with `given` on its standard input.

    The command is a forked child of the command server, unless `fresh` asks for an interpreter of its own.
    """
    seen = environment(env)
    if fresh or any(name.startswith(INTERPRETER) for name in env or ()):
        command = [PROGRAMS / "dstream", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=seen, input=given.encode(), capture_output=True, timeout=timeout, check=False
        )
        ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
    else:
        made = command_server.run(arguments, cwd=folder, env=seen, stdin=given.encode(), timeout=timeout)
        ended = Ended(made.code, made.out.decode(), made.err.decode())
    assert "Traceback" not in ended.err, ended.err
    return ended


def start(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = (),
) -> Forked | subprocess.Popen[str]:
    """Start `dstream ARGUMENTS` in a folder, in a process group of its own.

    It is a forked child of the command server, unless `program` gives a variant of dstream.
    """
    seen = environment(env)
    if not program and command_server.has_read(seen):
        return command_server.start(arguments, cwd=folder, env=seen)
    return subprocess.Popen(
        [*(program or (str(PROGRAMS / "dstream"),)), *arguments],
        cwd=folder,
        env=seen,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def example(name: str, folder: Path) -> Path:
    """A copy of an example in a fresh folder."""
    return Path(shutil.copytree(EXAMPLES / name, folder / name))


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for task in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            if int(task.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(task.parent.name))
    return found
