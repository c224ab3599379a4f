"""Scaffold: creates new provider packages from the templates in this folder.

The name of a template is the path of its file, with `__` for a slash and the suffix `.txt`; `@WORDS@` in names and
texts are replaced. A package gets the folder `common` of its language and the folder of its kind.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from dstream.diagnostics import DiagnosticsError, error

Kind = Literal["in", "out", "resource"]
Language = Literal["python", "bash"]
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_ROLES = {"in": "input", "out": "output", "resource": "resource"}
_TEMPLATES = Path(__file__).parent


def make(name: str, kind: Kind, language: Language, folder: Path) -> list[Path]:
    """Write a provider package named `name` into `folder`, which must be missing or empty; return its files."""
    if not _NAME.fullmatch(name):
        detail = f"{name!r} cannot be the name of a provider: small letters, digits and dashes, starting with a letter."
        raise DiagnosticsError(error("Invalid name", detail))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DiagnosticsError(error("Folder not empty", f"{folder} is there already. Name another with -folder."))
    program = f"dstream-{kind}-{name}"
    words = {
        "@NAME@": name,
        "@PROGRAM@": program,
        "@MODULE@": program.replace("-", "_"),
        "@TYPE@": name.replace("-", "_"),
        "@ROLE@": _ROLES[kind],
        "@HCL@": _example(name, kind, language),
    }
    made = []
    for part in ("common", kind):
        for template in sorted((_TEMPLATES / language / part).iterdir()):
            path = folder / _path(_replaced(template.name, words))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_replaced(template.read_text("utf-8"), words), "utf-8")
            if path.name == program or path.suffix == ".sh":
                path.chmod(0o755)
            made.append(path)
    return made


def _path(template: str) -> Path:
    # Python's own names have two underscores as well: those at their ends are no slashes.
    text = template.removesuffix(".txt")
    head, separator, tail = text.partition("____")
    if separator:
        return Path(head, f"__{tail}")
    return Path(*text.split("__"))


def _replaced(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _example(name: str, kind: Kind, language: Language) -> str:
    # The program of a Python package is installed, a bash program is run where it is.
    installed = language == "python"
    launch = f'provider = "{name}"' if installed else f'provider_path = "./dstream-{kind}-{name}"'
    if kind == "resource":
        type_ = f"{name.replace('-', '_')}_file"
        # The type's first word names its provider, unless the block names another.
        chosen = f'  provider = "{name}"\n' if "-" in name else ""
        body = "" if installed else f"  {launch}\n"
        return f'provider "{name}" {{\n{body}}}\n\nresource "{type_}" "greeting" {{\n{chosen}  name = "hello.txt"\n}}'
    sides = {
        "in": (launch, 'provider = "console"'),
        "out": ('provider = "counter"', launch),
    }
    first, second = sides[kind]
    return f'task "try" {{\n  input {{\n    {first}\n  }}\n  output {{\n    {second}\n  }}\n}}'
