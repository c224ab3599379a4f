"""SinkView: what an output has made durable, as a command of the user prints it."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterable

from dstream.plugins.conformance.result import Departed, Skipped

_SECONDS = 60.0
_RUN = uuid.uuid4().hex[:12]
_WITHOUT = "nothing shows what the output has made durable: give a command that prints it, with -verify"


def text_of(number: int) -> str:
    """Return the text that record `number` of this run of the kit carries, and no other record does."""
    return f"conformance-{_RUN}-{number:06d}"


class SinkView:
    """Reads the sink by a shell command that prints its contents, such as `cat out.jsonl`."""

    def __init__(self, command: str | None) -> None:
        """Look by `command`; without one, every look raises Skipped."""
        self._command = command

    @property
    def known(self) -> bool:
        """Whether there is a command."""
        return self._command is not None

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Return which records are not in the sink."""
        shown, _ = self._look()
        return [number for number in numbers if text_of(number) not in shown]

    def require(self, numbers: Iterable[int], when: str) -> None:
        """Raise Departed unless all records are in the sink; `when` begins the sentence that says so."""
        expected = list(numbers)
        missing = self.missing(expected)
        if missing:
            _, shown = self._look()
            listed = ", ".join(map(text_of, missing[:3])) + (" and others" if len(missing) > 3 else "")
            raise Departed(f"{when}, {len(missing)} of {len(expected)} records are not in the sink: {listed}{shown}")

    def _look(self) -> tuple[str, str]:
        """Return the output of the command, and its error as the end of a sentence."""
        if self._command is None:
            raise Skipped(_WITHOUT)
        try:
            done = subprocess.run(  # noqa: S602 - the user gives a shell command
                self._command, shell=True, capture_output=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Departed(f"the -verify command did not end within {_SECONDS:g} s") from None
        shown = done.stderr.decode("utf-8", "replace").strip()
        failed = f"\nThe -verify command exited with {done.returncode}: {shown}" if done.returncode else ""
        return done.stdout.decode("utf-8", "replace"), failed
