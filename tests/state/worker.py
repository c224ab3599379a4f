"""A process that the tests kill, stop or set against others: `worker.py WHAT KIND SETTINGS ROOT`.

It writes one line to its standard output for everything that it was told is durable.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from dstream_state import Checkpoint, ObjectState, ProcessStarted, Put, StateError, open_backend
from dstream_state.backend import Backend
from dstream_state.processes import start_time, this_host


def say(text: str) -> None:
    print(text, flush=True)


def put(number: int) -> Put:
    name = f"{os.getpid()}.{number}"
    return Put(name, ObjectState("p", "thing", name, {"id": number}, {"text": "x" * 200}))


def append(backend: Backend) -> None:
    """Append for ever."""
    with backend.lock("append", timeout=60) as held:
        number = 0
        while True:
            record = put(number)
            held.append([record])
            say(record.address)
            number += 1


def apply(backend: Backend) -> None:
    """Apply for ever: a lock, some records, a snapshot."""
    number = 0
    while True:
        with backend.lock("apply", timeout=60) as held:
            for _ in range(3):
                record = put(number)
                held.append([record])
                say(record.address)
                number += 1
            held.finish()


def contend(backend: Backend) -> None:
    """Apply five times, among others that do."""
    for number in range(5):
        with backend.lock("apply", timeout=100) as held:
            held.append([put(number)])
            say(f"{held.finish().serial} {put(number).address}")


def hold(backend: Backend) -> None:
    """Hold state and task; at each line of input try to write both, and say what came of it."""
    with backend.lock("hold") as held, backend.task("copy").acquire("run") as lease:
        held.on_lost(lambda: say("lost"))
        say(held.holder.id)
        for number, _ in enumerate(sys.stdin):
            for what, write in (
                ("append", lambda: held.append([put(number)])),  # noqa: B023 - called within the same turn
                ("store", lambda: lease.store(Checkpoint({"n": number}))),  # noqa: B023 - called within the same turn
            ):
                try:
                    write()
                    say(f"{what} ok")
                except StateError as error:
                    say(f"{what} {type(error).__name__}")


def engine(backend: Backend) -> None:
    """Hold the lock, with a provider that inherits it and is written down in the journal."""
    held = backend.lock("engine")
    provider = subprocess.Popen(["sleep", "1000"], pass_fds=held.inherit_fds, start_new_session=True)
    started = ProcessStarted(provider.pid, start_time(provider.pid), this_host())
    if os.environ.get("RECORD", "1") == "1":
        held.append([started])
    say(f"{provider.pid} {held.holder.id}")
    time.sleep(1000)


if __name__ == "__main__":
    what, kind, settings, root = sys.argv[1:]
    opened = open_backend(kind, json.loads(settings), root=Path(root))
    {"append": append, "apply": apply, "contend": contend, "hold": hold, "engine": engine}[what](opened)
