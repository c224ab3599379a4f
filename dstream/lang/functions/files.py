"""Functions of files and paths. Relative paths start at the configuration's folder."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dstream.lang.functions.registry import FunctionError, NotResolved, function
from dstream.lang.patterns import PatternError, compile_pattern
from dstream.lang.scope import Surroundings
from dstream.lang.values import SetValue, Value

if TYPE_CHECKING:
    from dstream.config.syntax.tree import Expr

_MAX_BYTES = 100_000_000
_MAX_DETAIL = 1_000
_MAX_DEPTH = 1_024
"""How many templates may be rendered inside of each other, as in OpenTofu."""
_depth: ContextVar[int] = ContextVar("depth of templates", default=0)
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")


def read(surroundings: Surroundings, name: str) -> bytes:
    """Return the bytes of a file; raise FunctionError."""
    path = _path(surroundings, name)
    try:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "does not exist"
            raise FunctionError(
                f"{name} {what}. Relative paths start at the configuration's folder, {surroundings.root.resolve()}",
                0,
            )
        if path.stat().st_size > _MAX_BYTES:
            raise FunctionError(f"{name} is too large", 0)
        return path.read_bytes()
    except (OSError, ValueError) as wrong:
        raise FunctionError(f"{name} cannot be read: {wrong}", 0) from None


def _path(surroundings: Surroundings, name: str) -> Path:
    if "\0" in name:
        raise FunctionError("a path must not contain a null character", 0)
    expanded = Path(name).expanduser() if name.startswith("~") else Path(name)
    path = surroundings.root / expanded
    if surroundings.confinement is not None and not surroundings.confinement.reads(path, name):
        raise NotResolved(f"{name} is not read")
    return path


@function("path: string")
def abspath(path: Value) -> Value:
    """Return the absolute path."""
    return os.path.abspath(path)  # noqa: PTH100  # Path.absolute keeps `..`, which Terraform takes out


@function("path: string")
def basename(path: Value) -> Value:
    """Return the last part of the path."""
    return PurePosixPath(path).name if path.strip("/") else "/" if path else "."


@function("path: string")
def dirname(path: Value) -> Value:
    """Return the path without its last part."""
    head = path.rpartition("/")[0]
    if "/" not in path:
        return "."
    return os.path.normpath(head) if head else "/"


@function("path: string")
def pathexpand(path: Value) -> Value:
    """Return the path with a leading ~ replaced by the home folder."""
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path  # noqa: PTH111  # keeps the rest as it is


@function("path: string", surrounded=True)
def file(surroundings: Surroundings, path: Value) -> Value:
    """Return the text in a file."""
    try:
        return read(surroundings, path).decode("utf-8")
    except UnicodeDecodeError:
        raise FunctionError(f"{path} is not UTF-8 text; use filebase64(...) for binary files", 0) from None


@function("path: string", surrounded=True)
def filebase64(surroundings: Surroundings, path: Value) -> Value:
    """Return the bytes of a file in Base64."""
    return base64.b64encode(read(surroundings, path)).decode()


@function("path: string", surrounded=True)
def fileexists(surroundings: Surroundings, path: Value) -> Value:
    """Return whether a file exists."""
    found = _path(surroundings, path)
    if found.is_dir():
        raise FunctionError(f"{path} is a folder; fileexists(...) is for files", 0)
    return found.is_file()


@function("path: string, pattern: string", surrounded=True)
def fileset(surroundings: Surroundings, path: Value, pattern: Value) -> Value:
    """Return the files in a folder whose paths match a pattern, such as `*.json` or `**/*.hcl`."""
    root = _path(surroundings, path)
    matches = _glob(pattern)
    found: list[str] = []
    for folder, _, names in os.walk(root):
        for name in names:
            inner = (Path(folder) / name).relative_to(root).as_posix()
            if matches(inner):
                found.append(inner)
    return SetValue(found)


def _glob(pattern: str) -> Callable[[str], bool]:
    made: list[str] = []
    index = 0
    depth = 0
    while index < len(pattern):
        if pattern.startswith("**/", index):
            made.append("(?:[^/]+/)*")
            index += 3
        elif pattern.startswith("**", index):
            made.append(".*")
            index += 2
        else:
            character = pattern[index]
            if character == "{":
                depth += 1
            elif character == "}" and depth:
                depth -= 1
            made.append(
                {"*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}.get(character)
                or ("|" if character == "," and depth else character if character in "[]^-" else re.escape(character))
            )
            index += 1
    try:
        compiled = compile_pattern("".join(made).replace("[!", "[^"))
    except PatternError as wrong:
        raise FunctionError(f"the pattern is malformed: {wrong}", 1) from None
    # A name that is not UTF-8 matches as if each odd byte were a replacement character.
    return lambda name: compiled.fullmatch(os.fsencode(name).decode("utf-8", "replace")) is not None


@function("path: string, values: any", surrounded=True)
def templatefile(surroundings: Surroundings, path: Value, values: Value) -> Value:
    """Return the rendered template of a file."""
    try:
        text = read(surroundings, path).decode("utf-8")
    except UnicodeDecodeError:
        raise FunctionError(f"{path} is not UTF-8 text", 0) from None
    return rendered(surroundings, text, values, path)


def rendered(surroundings: Surroundings, text: str, values: Value, name: str) -> Value:
    """Return a rendered template; raise FunctionError with the place in the template."""
    from dstream.diagnostics import DiagnosticsError
    from dstream.lang.convert import to_string
    from dstream.lang.expressions import evaluate
    from dstream.lang.scope import Scope
    from dstream.lang.types import ConversionError
    from dstream.lang.values import unwrap

    if not isinstance(values, dict):
        raise FunctionError("the values must be an object: { name = value }", 1)
    for wrong in values:
        if not _VARIABLE.fullmatch(wrong):
            raise FunctionError(
                f'"{wrong}" is not a valid name in a template; names consist of letters, digits and _', 1
            )
    try:
        with _nested():
            value = evaluate(_parsed(text, name), Scope(values, surroundings=surroundings))
    except DiagnosticsError as wrong:
        first = wrong.diagnostics[0]
        raise FunctionError(f"at {first.subject}: {first.summary}. {_shortened(first.detail)}", 0) from None
    try:
        return to_string(value) if not isinstance(unwrap(value), str) and not _special(value) else value
    except ConversionError as wrong:
        raise FunctionError(f"the template does not give a string: {wrong.message}", 0) from None


@lru_cache(maxsize=32)
def _parsed(text: str, name: str) -> Expr:
    from dstream.config import parse_template

    return parse_template(text, name)


@contextmanager
def _nested() -> Iterator[None]:
    """Count how deeply templates render templates; raise FunctionError for too many."""
    if _depth.get() >= _MAX_DEPTH:
        raise FunctionError(f"templates render templates more than {_MAX_DEPTH} levels deep, perhaps without an end", 0)
    token = _depth.set(_depth.get() + 1)
    try:
        yield
    finally:
        _depth.reset(token)


def _shortened(detail: str) -> str:
    """Return a detail without its middle if it is long: each template that renders another puts its place in front."""
    return detail if len(detail) <= _MAX_DETAIL else f"{detail[:300]} [...] {detail[-500:]}"


def _special(value: Value) -> bool:
    from dstream.lang.values import Sensitive, Unknown

    return isinstance(value, Sensitive | Unknown)
