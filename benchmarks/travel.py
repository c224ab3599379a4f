"""How fast providers travel and run: a pull of 50 MB against a bare download, containers against plain processes.

    python -m benchmarks.travel

Both need what the tests start: a real registry, a container engine. Medians of five and of three.
"""

from __future__ import annotations

import hashlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from dstream.registry.oci.cache import Cache
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.push import Pusher
from dstream.registry.oci.transport import Transport
from dstream.registry.settings import Settings
from tests.services.containers import EngineMissing, engine, images
from tests.services.registry import RegistryMissing, registry

SIZE = 50_000_000
RECORDS = 400_000


def pull(folder: Path) -> str:
    """Download a blob with checksum to a file: with urllib, and with our client into a cache."""
    with registry(folder / "registry") as server:
        client = RegistryClient(server.host, Transport(Settings()))
        source = folder / "source"
        source.write_bytes(os.urandom(SIZE))
        blob = Pusher(client, "x/y").blob(source)
        url = f"http://{server.host}/v2/x/y/blobs/{blob.digest}"
        bare, ours = [], []
        for run in range(5):
            begun = time.perf_counter()
            found = hashlib.sha256()
            with urllib.request.urlopen(url) as response, (folder / f"bare-{run}").open("wb") as file:
                while chunk := response.read(1 << 20):
                    found.update(chunk)
                    file.write(chunk)
            bare.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            Cache(folder / f"cache-{run}").fetch(client, "x/y", blob)
            ours.append(time.perf_counter() - begun)
    slow, fast = statistics.median(ours), statistics.median(bare)
    return f"pull of 50 MB: bare {50 / fast:.0f} MB/s, dstream {50 / slow:.0f} MB/s, {fast / slow:.2f} of it"


def containers(folder: Path) -> str:
    """Run counter to log, as processes and as containers; count what is moved in a second."""
    with engine() as environment:
        names = {"in": "localhost/bench-in:dev", "out": "localhost/bench-out:dev"}
        modules = (("dstream-in-counter", "dstream_counter"), ("dstream-out-log", "dstream_log"))
        images(environment, dict(zip(names.values(), modules, strict=True)))
        image = [
            f'provider_image = "{name}"\n    container {{\n      network = "none"\n    }}' for name in names.values()
        ]
        process = ['provider = "counter"', 'provider = "log"']
        rates = {
            "processes": statistics.median(_rate(folder, process, environment) for _ in range(3)),
            "containers": statistics.median(_rate(folder, image, environment) for _ in range(3)),
        }
    ratio = rates["containers"] / rates["processes"]
    return (
        f"{rates['processes']:.0f} records/s as processes, {rates['containers']:.0f} as containers, {ratio:.2f} of it"
    )


def _rate(folder: Path, sides: list[str], environment: dict[str, str]) -> float:
    first, second = sides
    work = Path(tempfile.mkdtemp(dir=folder))
    (work / "dstream.hcl").write_text(
        f'task "t" {{\n  input {{\n    {first}\n'
        f"    config {{\n      interval = 0\n      max_count = {RECORDS}\n    }}\n  }}\n"
        f"  output {{\n    {second}\n  }}\n}}\n"
    )
    command = [str(Path(sys.executable).with_name("dstream")), "run", "-unapplied", "-json"]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=work, env={**os.environ, **environment}, capture_output=True, text=True)
    spent = time.perf_counter() - begun
    if done.returncode or not re.search(rf"\b{RECORDS}\b", done.stderr):
        raise RuntimeError(done.stderr[-2000:])
    return RECORDS / spent


def main() -> None:
    """Measure what can be measured on this machine."""
    with tempfile.TemporaryDirectory() as name:
        for measure in (pull, containers):
            try:
                print(measure(Path(name)))
            except (RegistryMissing, EngineMissing) as missing:
                print(f"{measure.__name__}: {missing}")


if __name__ == "__main__":
    main()
