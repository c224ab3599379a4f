"""Plan file format: a header line and a content line, each a JSON object.

The header starts with `MAGIC`, by which `apply` and `show` recognize the file, and has the format version. If the state
is encrypted, the second line is encrypted with the same key. `docs/plan-format.md` describes the format.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError, error
from dstream.files import read_file
from dstream.plan.plan import Plan
from dstream.plan.reading import plan_from_json
from dstream_state.codec import dumps, loads
from dstream_state.errors import StateDamaged, WrongKey
from dstream_state.sealing import Sealer

MAGIC = b'{"dstream_plan":'
VERSION = 1
_CONTEXT = b"dstream plan"


class PlanFile(Struct, frozen=True):
    """The content of a saved plan: the plan, its inputs and options, and the answers of providers."""

    plan: Plan
    form: Mapping[str, Any]
    """The plan's JSON form."""
    made_from: Mapping[str, Any]
    """Lineage, serial, digest of the configuration, identities of the providers."""
    command: Mapping[str, Any]
    """The options, and the values of variables that are not sensitive."""
    secrets: Mapping[str, Any] | None
    """Salt, costs and digest over all sensitive values; None if there are none."""
    answers: Mapping[str, Any]
    """The answers of providers, without secrets."""
    encrypted: bool = False


_MADE_FROM = ("configuration", "lineage", "serial", "providers")
_LARGEST = 1 << 30
"""Bytes of a saved plan; that of 100,000 objects has some 100 MB."""


def is_plan_file(path: Path) -> bool:
    """Return whether a file exists and has the header of a saved plan."""
    try:
        if not path.is_file():
            return False  # a pipe would wait for a writer
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def write_plan_file(path: Path, content: PlanFile, sealer: Sealer | None) -> None:
    """Write a saved plan atomically, readable only by its owner; raise OSError."""
    body = dumps(
        {
            "plan": content.form,
            "made_from": content.made_from,
            "command": content.command,
            "secrets": content.secrets,
            "answers": content.answers,
        }
    )
    if sealer is not None:
        body = dumps(sealer.seal(body, _CONTEXT))
    head = {"dstream_plan": VERSION, "encrypted": sealer is not None, "sha256": hashlib.sha256(body).hexdigest()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(dumps(head) + b"\n" + body + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_plan_file(path: Path, sealer: Callable[[], Sealer | None]) -> PlanFile:
    """Read a saved plan; `sealer` is asked for only if it is encrypted. Raise DiagnosticsError, OSError, WrongKey."""
    lines = read_file(path, _LARGEST).split(b"\n")
    try:
        head = loads(lines[0], str(path))
    except StateDamaged:
        raise _refused(path, "its first line is not a JSON object") from None
    version = head.get("dstream_plan") if isinstance(head, dict) else None
    if not isinstance(version, int):
        raise _refused(path, "it does not begin as one")
    if version > VERSION:
        raise _refused(path, f"its version is {version}, and this dstream knows {VERSION}. Upgrade dstream")
    body = lines[1] if len(lines) > 1 else b""
    if len(lines) != 3 or hashlib.sha256(body).hexdigest() != head.get("sha256"):
        raise _refused(path, "it was cut off or changed after it was written. Plan again with -out")
    if head.get("encrypted"):
        body = _opened(path, loads(body, str(path)), sealer())
    form = loads(body, str(path))
    try:
        if not all(isinstance(form[name], Mapping) for name in ("plan", "made_from", "command", "answers")):
            raise TypeError("a member is not an object")
        if not all(name in form["made_from"] for name in _MADE_FROM):
            raise KeyError(*_MADE_FROM)
        return PlanFile(
            plan_from_json(form["plan"]),
            form["plan"],
            form["made_from"],
            form["command"],
            form["secrets"],
            form["answers"],
            bool(head.get("encrypted")),
        )
    except ValueError as problem:
        raise _refused(path, str(problem)) from problem
    except (KeyError, TypeError, AttributeError) as problem:
        raise _refused(path, f"it is damaged ({type(problem).__name__}: {problem})") from problem


def _opened(path: Path, form: Any, sealer: Sealer | None) -> bytes:
    if sealer is None:
        raise WrongKey(
            f"The saved plan {path} is encrypted; say with which key in the `encryption` block of `dstream`."
        )
    try:
        return sealer.open(form, _CONTEXT)
    except WrongKey as problem:
        raise WrongKey(f"The saved plan {path}: {problem.detail}") from None


def damaged_plan(problem: Exception) -> DiagnosticsError:
    """Return the error for a saved plan whose members have other types than dstream writes."""
    detail = f"Its content is damaged ({type(problem).__name__}: {problem}). Nothing was changed. Plan again with -out."
    return DiagnosticsError(error("Not a saved plan", detail))


def _refused(path: Path, why: str) -> DiagnosticsError:
    return DiagnosticsError(error("Not a saved plan", f"{path} cannot be used: {why}."))
