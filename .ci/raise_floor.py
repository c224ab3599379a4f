"""Raise the floor of `make coverage` in pyproject.toml to the percentage that was measured, rounded down.

Reads the data file of coverage.py in this folder. A floor that is as high, or higher, stays as it is: below it,
`make coverage` has failed before this is called.
"""

import math
import re
import subprocess
import sys
from pathlib import Path

FLOOR = re.compile(r"^fail_under = (\d+)$", re.MULTILINE)


def raised(text: str, measured: float) -> str:
    """Return the text of a pyproject.toml with the floor raised to what was measured, or as it is."""
    found = FLOOR.search(text)
    if found is None:
        raise ValueError("pyproject.toml has no line `fail_under = NUMBER`")
    floor = max(int(found[1]), math.floor(measured))
    return FLOOR.sub(f"fail_under = {floor}", text, count=1)


def main() -> None:
    """Rewrite pyproject.toml where the floor rises."""
    command = [sys.executable, "-m", "coverage", "report", "--format=total", "--precision=2", "--fail-under=0"]
    measured = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    path = Path("pyproject.toml")
    before = path.read_text()
    after = raised(before, measured)
    if after != before:
        path.write_text(after)
        print(f"Coverage is {measured:.2f} %: the floor in pyproject.toml is raised. Commit it.")


if __name__ == "__main__":
    main()
