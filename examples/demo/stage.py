"""The stage of the demo: types commands, shows what they print, and keeps it for the checks."""

import os
import pty
import subprocess
import sys
import textwrap
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from examples.demo.checks import Failed

NEXT = (
    (
        "Run a task of your own on this machine:",
        ". .venv/bin/activate && cd examples/counter-to-console && dstream run",
    ),
    ("Write a configuration, step by step:", "docs/getting-started.md"),
    (
        "Install the other providers, and move SQL Server changes to Azure:",
        "make setup, then docs/sqlserver.md and docs/azure.md",
    ),
)
"""What to do after the demo: a title, and a command or pages, from the folder of the repository."""


class Stage:
    """One telling of the story in a folder, beside a database server (`execute(sql)`, `dsn()`).

    `programs` is the folder in which dstream is looked for first.
    """

    def __init__(self, folder: Path, server: Any, programs: Path = Path(sys.executable).parent) -> None:
        self.folder = folder
        self._server = server
        self._program = programs / "dstream"
        self._terminal = sys.stdout.isatty()
        self._steps = 0
        self._start = time.monotonic()
        self._environment = {
            **os.environ,
            "DATABASE_URL": server.dsn(),
            "PATH": str(programs) + os.pathsep + os.environ.get("PATH", os.defpath),
        }

    def step(self, title: str) -> None:
        """Begin a numbered step."""
        self._steps += 1
        self._print(f"\n{self._bold(f'{self._steps}. {title}')}\n")

    def say(self, text: str) -> None:
        """Tell something in between."""
        self._print(f"{text}\n")

    def show_file(self, name: str) -> None:
        """Show a file of the folder, without its introduction in comments."""
        text = (self.folder / name).read_text()
        body = text[text.index("\n\n") + 2 :] if text.startswith("#") else text
        self._typed(f"cat {name}")
        self._print(textwrap.indent(body, "    "))

    def sql(self, *statements: str) -> None:
        """Run statements on the database, each in a transaction of its own."""
        for statement in statements:
            self._typed(statement + ";", prompt="sql>")
            self._server.execute(statement)

    def dstream(self, arguments: str, *, code: int = 0, says: Sequence[str] = ()) -> None:
        """Type a dstream command; raise Failed unless it ends with this code and its output has these words."""
        self._typed(f"dstream {arguments}")
        output, ended_with = self._run([str(self._program), *arguments.split()])
        if ended_with != code:
            raise Failed(f"`dstream {arguments}` ended with {ended_with} and not with {code}")
        for words in says:
            if words not in output:
                raise Failed(f"`dstream {arguments}` did not say {words!r}")

    def replication(self) -> tuple[list[str], list[str]]:
        """The names of the publications and of the replication slots that the database really has."""
        return (
            [row[0] for row in self._server.execute("SELECT pubname FROM pg_publication ORDER BY 1")],
            [row[0] for row in self._server.execute("SELECT slot_name FROM pg_replication_slots ORDER BY 1")],
        )

    def published(self) -> list[str]:
        """The names of the tables that the database's publications really have."""
        return [row[0] for row in self._server.execute("SELECT tablename FROM pg_publication_tables ORDER BY 1")]

    def fail(self, reason: str) -> None:
        """Say that the demo failed, and why."""
        self._print(f"\nThe demo failed in step {self._steps}: {reason}.\n")

    def done(self) -> None:
        """Say that all went well."""
        seconds = time.monotonic() - self._start
        self._print(f"\n{self._bold('Done')} in {seconds:.0f} s: every step was checked against the database.\n")
        self._print(f"\n{self._bold('Next')}\n\n")
        for number, (title, way) in enumerate(NEXT, 1):
            self._print(f"  {number}. {title}\n     {way}\n")

    def _run(self, command: list[str]) -> tuple[str, int]:
        """Run a command, showing its output as it comes; returns the output and the exit code."""
        reading, writing = pty.openpty() if self._terminal else os.pipe()
        if self._terminal:
            tty.setraw(writing)  # our own terminal turns newlines into carriage returns and newlines
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
        ) as process:
            os.close(writing)
            seen = bytearray()
            for chunk in _chunks(reading):
                seen += chunk
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
            code = process.wait()
        os.close(reading)
        return seen.decode(errors="replace"), code

    def _typed(self, command: str, prompt: str = "$") -> None:
        self._print(f"{prompt} {self._bold(command)}\n")

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._terminal and not os.environ.get("NO_COLOR") else text

    def _print(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _chunks(descriptor: int) -> Iterator[bytes]:
    """What arrives, until the other end is closed (which a pseudo-terminal reports as an error)."""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:
            return
        if not chunk:
            return
        yield chunk
