"""Hold the import contracts of files that are not modules of a package: scripts in .ci and the scaffold's templates.

import-linter holds the contracts of packages (`pyproject.toml`); this script holds the rest. It prints each import
that is not allowed and exits with 1 if there is any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    ".ci/*.py": ("dstream.registry.packaging", "dstream.registry.platforms"),
    "dstream/scaffold/python/*/*.py.txt": ("dstream_sdk", "pytest", "@MODULE@"),
}
"""What the files of a pattern may import, beside the standard library."""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of each import in a file."""
    text = path.read_text("utf-8").replace("@MODULE@", "_MODULE_")
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def allowed(name: str, packages: tuple[str, ...]) -> bool:
    """Tell whether a file that may import `packages` may import `name`."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return True
    return any(f"{name}.".startswith(f"{package.replace('@', '_')}.") for package in packages)


def violations(root: Path) -> list[str]:
    """Return a line for each import that is not allowed, and for each pattern without files."""
    found = []
    for pattern, packages in ALLOWED.items():
        files = sorted(root.glob(pattern))
        if not files:
            found.append(f"{pattern}: there is no such file")
        for path in files:
            found += [
                f"{path.relative_to(root)}:{line}: {name} is not allowed; allowed are {', '.join(packages)}"
                for line, name in imports(path)
                if not allowed(name, packages)
            ]
    return found


if __name__ == "__main__":
    problems = violations(ROOT)
    print("\n".join(problems) or "imports of .ci and the scaffold: kept")
    sys.exit(1 if problems else 0)
