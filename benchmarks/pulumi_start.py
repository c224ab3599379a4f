"""How long a provider with Pulumi takes to start: from its process's start to its first answer.

The cases: the probe, the answer to `plan` by an embedded program over pulumi_azure_native, and the first answer about
an object through a plugin (the stand-in in Python, which starts more slowly than plugins in Go; the schema is cached).
`import grpc, pulumi` is the control. Medians; the cases alternate. Processor time, the plugin's included, says what
remains on a quiet machine. Needs `make azure`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.services.pulumi.serving import install

ROOT = Path(__file__).resolve().parent.parent
PROVIDER = [sys.executable, "-m", "benchmarks.pulumi_provider"]
TARGET = 600.0


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


PLAN = line({"command": "plan", "protocol": 2, "role": "output", "task": "t", "config": {}, "streams": []})
SERVE = line({"command": "serve", "protocol": 2, "role": "resource", "config": {}})
QUEUE = {
    "id": 1,
    "command": "plan",
    "type": "azure-native_servicebus_Queue",
    "key": "a",
    "desired": {"resource_group_name": "g", "namespace_name": "n"},
}
CASES = {
    "import grpc, pulumi (control)": ([sys.executable, "-c", "import grpc, pulumi"], b"", ""),
    "probe": (PROVIDER, b"", "1"),
    "plan of an embedded program": (PROVIDER, PLAN, ""),
    "first object through a plugin": (PROVIDER, SERVE + line(QUEUE), ""),
}


def once(argv: list[str], sent: bytes, probing: str, env: dict[str, str]) -> tuple[float, float, bytes]:
    """Return wall and processor milliseconds until the process has answered and ended, and what it wrote."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    extra = {"DSTREAM_PROBE": probing} if probing else {}
    done = subprocess.run(argv, input=sent, capture_output=True, cwd=ROOT, env={**env, **extra}, check=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000, used * 1000, done.stdout


def main() -> int:
    """Measure, and tell whether each case is within the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch:
        install(Path(scratch), "azure-native", "tests.services.pulumi.azure_native")
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env |= {"PATH": f"{scratch}{os.pathsep}{env['PATH']}", "HOME": scratch}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
        for round_ in range(runs + 1):
            for name, (argv, sent, probing) in CASES.items():
                wall, used, said = once(argv, sent, probing, env)
                if sent and b'"ok"' not in said and b'"done"' not in said:
                    raise SystemExit(f"{name}: {said.decode()}")
                if round_:  # the first one fills caches
                    found[name].append((wall, used))
    slow = False
    for name, times in found.items():
        wall, used = (median(each) for each in zip(*times, strict=True))
        best = min(each for each, _ in times)
        slow = slow or (wall > TARGET)
        print(f"{name:32} {wall:6.0f} ms (best {best:.0f}), {used:5.0f} ms of processor time")
    print(f"target: {TARGET:.0f} ms{' MISSED' if slow else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
