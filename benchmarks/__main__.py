"""All measurements, one after the other: `make bench`, or `python -m benchmarks startup pump`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALL = ("startup", "language", "pump", "postgres_reader", "postgres_writer", "mssql_reader")


def main(chosen: list[str]) -> int:
    """Run the chosen measurements, all by default; the exit code says whether all of them could be made."""
    unknown = [name for name in chosen if name not in ALL]
    if unknown:
        print(f"There is no measurement {unknown[0]!r}; there are: {', '.join(ALL)}", file=sys.stderr)
        return 2
    failed = []
    for name in chosen or ALL:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
