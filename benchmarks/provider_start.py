"""How long the providers of SQL Server and Service Bus take to start: from the start of the process to `ready`.

Seconds of the processor are told beside those of the clock: they are what remains on a quiet machine. Behind them are
the tests' stand-ins, in processes of their own; the output asks Service Bus whether its queue is there. An
interpreter that does nothing is the control. Medians; the cases alternate.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.servicebus_sender import QUEUE, serve

ROUNDS, TARGET = 9, 250.0
PROGRAMS = Path(sys.executable).parent


def once(program: str, role: str, config: dict[str, Any]) -> tuple[float, float]:
    """Return the milliseconds of the processor and of the clock until a provider is ready."""
    opening = {"command": "run", "protocol": 2, "role": role, "task": "t", "acks": True, "config": config}
    begun = time.perf_counter()
    process = subprocess.Popen([PROGRAMS / program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(opening).encode() + b"\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    seconds = time.perf_counter() - begun
    if b'"ready"' not in answer:
        raise SystemExit(f"{program}: {answer!r}")
    return _ended(process) * 1000, seconds * 1000


def control() -> tuple[float, float]:
    """Return the same for an interpreter that does nothing."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", "print()"], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return _ended(process) * 1000, (time.perf_counter() - begun) * 1000


def _ended(process: subprocess.Popen[bytes]) -> float:
    """Kill a process, and return the seconds of the processor that it has had."""
    os.kill(process.pid, 9)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print a table."""
    argv = [sys.executable, "-m", "benchmarks.mssql_server", "10"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        sql = server.stdout.readline().strip()
        pipe, theirs = multiprocessing.Pipe()
        multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True).start()
        bus, environment = pipe.recv()
        os.environ.update(environment)
        cases: dict[str, Any] = {
            "dstream-in-mssql": ("input", {"connection_string": sql, "tables": ["Events"]}),
            "dstream-out-asb": ("output", {"connection_string": bus, "manage": False, "queue_name": QUEUE}),
            "dstream-in-asb": ("input", {"connection_string": bus, "queue": QUEUE}),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("python -c pass", *cases)}
        for _ in range(ROUNDS):
            found["python -c pass"].append(control())
            for name, (role, config) in cases.items():
                found[name].append(once(name, role, config))
        pipe.send("end")
        server.stdin.close()
    print(f"{'':18} {'processor':>10} {'clock':>8}   (target: {TARGET:g} ms)")
    for name, times in found.items():
        processor, clock = (median(each) for each in zip(*times, strict=True))
        print(f"{name:18} {processor:7.0f} ms {clock:5.0f} ms")


if __name__ == "__main__":
    main()
