"""Process: the process of a plugin, which ends with this process.

`pulumi-resource-NAME ENGINE` prints as its first line the port of its service `pulumirpc.ResourceProvider`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

from dstream_sdk import ProviderError, log

START_SECONDS = 60.0
_END_SECONDS = 2.0


_DIE_WITH_PARENT = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)\n"  # PR_SET_PDEATHSIG, SIGKILL
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])\n"
)
"""On Linux: arranges for the kernel to kill this process when its parent dies, then executes the plugin.

It cannot run between fork and exec, because gRPC's threads make a forked process unreliable.
"""


def _command(executable: Path, engine: str) -> list[str]:
    plugin = [str(executable), engine]
    if not sys.platform.startswith("linux"):
        return plugin
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *plugin]


class PluginProcess:
    """A plugin process. The constructor returns immediately; `address` waits for the port."""

    def __init__(self, executable: Path, engine: str) -> None:
        """Start the executable. `engine` is the address of the service that receives its log."""
        self.name = executable.name
        self.tail: deque[str] = deque(maxlen=20)
        try:
            self._process = subprocess.Popen(
                _command(executable, engine),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            )
        except OSError as problem:
            raise ProviderError("Plugin cannot be started", f"{executable}: {problem.strerror}") from problem
        self._port: int | None = None
        self._started = threading.Event()
        for target in (self._read_port, self._read_log):
            threading.Thread(target=target, name=f"{target.__name__} {self.name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def address(self) -> str:
        """Return the address of its service. Raises ProviderError if it does not start."""
        self._started.wait(START_SECONDS)
        if self._port is None:
            detail = "\n".join(self.tail) or "It reported nothing."
            raise ProviderError("Plugin did not start", f"{self.name} printed no port. {detail}")
        return f"127.0.0.1:{self._port}"

    def alive(self) -> bool:
        """Return whether it is running."""
        return self._process.poll() is None

    def gone(self, seconds: float = 1.0) -> bool:
        """Return whether it has ended, after waiting up to `seconds` for it."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """Terminate it, and kill it after a grace period."""
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_port(self) -> None:
        stdout = self._process.stdout
        if stdout is not None:
            line = stdout.readline().strip()
            self._port = int(line) if line.isdigit() else None
            self._started.set()
            for rest in stdout:
                log(rest.decode(errors="replace").rstrip())

    def _read_log(self) -> None:
        if self._process.stderr is not None:
            for line in self._process.stderr:
                text = line.decode(errors="replace").rstrip()
                self.tail.append(text)
                log(text)
