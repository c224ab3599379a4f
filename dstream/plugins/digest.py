"""Digest: identifies the content of an executable, so that it is probed again only if the answer may differ.

The content of the file is not enough where the file merely starts something else. The script that pip writes
for a Python package holds one import: the digest then covers the package it imports, and the SDK beside it.
Another script may start its neighbours: for a script that `provider_path` names, the names, sizes and times of
the files in its folder are part of the digest.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

_STUB = re.compile(rb"^from ([A-Za-z_]\w*)[\w.]* import ", re.MULTILINE)
_SDK = "dstream_sdk"
_STUB_LIMIT = 4096
_NEIGHBOURS = 500


def digest_of(path: Path, *, neighbours: bool = False) -> str:
    """Return `sha256:...` of an executable; `neighbours` includes the folder of a script."""
    from hashlib import sha256  # 4 ms to import; only commands that start providers need it

    with path.open("rb") as file:
        head = file.read(_STUB_LIMIT)
        found = sha256()
        if not head.startswith(b"#!"):
            found.update(head)
            while chunk := file.read(1 << 20):
                found.update(chunk)
            return f"sha256:{found.hexdigest()}"
        shebang, _, body = (head + file.read()).partition(b"\n")
    found.update(body)
    package = _STUB.search(body) if b"python" in shebang and len(body) < _STUB_LIMIT else None
    source = _package(package[1].decode(), shebang, path) if package else None
    if source is not None:
        for each in (source, _package(_SDK, shebang, path)):
            if each is not None:
                found.update(_tree(each).encode())
    elif neighbours:
        found.update(shebang)
        _add_neighbours(found, path.parent)
    return f"sha256:{found.hexdigest()}"


def _add_neighbours(found: _Hash, folder: Path) -> None:
    entries = sorted(entry for entry in folder.iterdir() if entry.is_file())
    for entry in entries[:_NEIGHBOURS]:
        stat = entry.stat()
        found.update(f"{entry.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())


def _package(name: str, shebang: bytes, script: Path) -> Path | None:
    """Return the folder or file of a top-level package as the script's Python would find it, or None."""
    for folder in _search_path(_prefix(shebang, script)):
        for candidate in (folder / name, folder / f"{name}.py"):
            if candidate.exists():
                return candidate
    return None


def _prefix(shebang: bytes, script: Path) -> Path:
    """Return the environment that the script belongs to: its interpreter's, else the folder above its own."""
    words = shebang[2:].split()
    interpreter = Path(words[0].decode(errors="replace")) if words else script
    if interpreter.name in ("env", "sh"):
        return script.parent.parent
    return interpreter.parent.parent


@cache
def _search_path(prefix: Path) -> tuple[Path, ...]:
    """Return site-packages of an environment and the folders that its .pth files add (editable installs)."""
    folders: list[Path] = []
    for site in sorted(prefix.glob("lib/python3*/site-packages")):
        folders.append(site)
        for extra in sorted(site.glob("*.pth")):
            lines = extra.read_text(errors="replace").splitlines()
            paths = (line for line in lines if line and not line.startswith(("import ", "import\t", "#")))
            folders.extend(Path(site, line) for line in paths)
    return tuple(folders)


@cache
def _tree(source: Path) -> str:
    """Return a digest of a package's content: its files without compiled ones, and the versions installed beside."""
    from hashlib import sha256

    found = sha256()
    files = [source] if source.is_file() else sorted(each for each in source.rglob("*") if each.is_file())
    for file in files:
        if "__pycache__" not in file.parts:
            found.update(str(file.relative_to(source.parent)).encode() + b"\0")
            found.update(file.read_bytes() + b"\0")
    for info in sorted(source.parent.glob("dstream*.dist-info")):
        found.update(info.name.encode() + b"\0")
    return found.hexdigest()
