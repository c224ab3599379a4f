"""The jsonl input: reads files from where the checkpoint says, and follows them when asked to.

A line is emitted when it is whole. A checkpoint follows each block of about 1 MiB. When a followed file is
replaced (rotated), the rest of the old one is read first.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dstream_jsonl.lines import envelopes, looks_like_envelopes, parse
from dstream_jsonl.position import Position, read_checkpoint, write_checkpoint
from dstream_sdk import (
    Consequence,
    Finding,
    Input,
    InputSession,
    PlanContext,
    Provider,
    ProviderError,
    Resource,
    Stream,
    log,
    setting,
)

_CHUNK = 1024 * 1024
_LINE_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set."""

    path: str = setting(description="the file to read; *, ? and ** match several", aliases=("file", "filename"))
    follow: bool = setting(False, description="wait for more instead of ending at the end")
    poll_interval: int = setting(200, description="milliseconds between two checks for new data", minimum=1)
    content: Literal["auto", "envelopes", "objects"] = setting(
        "auto",
        description="envelopes: {data, metadata}; objects: each line is the data; auto: by the first line",
    )
    table: str = setting("", description="TableName of bare objects; the file's name without its ending if empty")
    on_gap: Literal["fail", "snapshot"] = setting(
        "fail",
        description="when a file is not the one of the checkpoint: fail, or read it from the start",
    )


class Reader(Input[Settings]):
    """Reads lines of files, in the order of their names."""

    def plan(self, config: Settings, context: PlanContext) -> Iterable[Resource | Stream]:
        """Return one stream, without checking which files exist."""
        return [Stream(config.table or Path(config.path).stem)]

    def consequences(self, config: Settings, context: PlanContext) -> Iterable[Consequence | Finding]:
        """Report how much is left to read, and files that are not those of the checkpoint.

        Nothing is certain: the task may run on another machine than the plan.
        """
        files = _paths(config.path)
        if not files and not config.follow:
            yield Finding("File not found", f"nothing matches {config.path} here.", path="config.path", certain=False)
        positions, hours = read_checkpoint(dict(context.prior.checkpoint or {}) or None), context.prior.checkpoint_age
        for path in files:
            position = positions.get(path)
            with Path(path).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                reason = position.gap(file.fileno()) if position and not context.prior.running else None
            if position is None:
                yield Consequence("snapshot", f"{path} is read from the beginning", stream=path, bytes=size)
            elif reason is None:
                age = None if hours is None else round(hours / 3600, 2)
                text = f"reading continues at byte {position.offset} of {path}"
                yield Consequence("resume", text, stream=path, bytes=max(0, size - position.offset), hours=age)
            elif config.on_gap == "snapshot":
                text = f"{path} is read again from the beginning"
                yield Consequence("reread", text, "breaking", f"{reason}.", path, bytes=size)
            else:
                fix = 'on_gap = "snapshot", which reads it from the beginning'
                yield Finding("Source changed", f"{path}: {reason}.", fix, "config.path", certain=False)

    def open(self, config: Settings, session: InputSession) -> None:
        """Check that there is something to read, and that it continues what was read."""
        files = _paths(config.path)
        if not files and not config.follow:
            raise ProviderError("File not found", f"nothing matches {config.path}", path="config.path")
        self._reading = _Reading(config, session, files)

    def run(self, config: Settings, session: InputSession) -> None:
        """Read to the end, and on while following."""
        reading = self._reading
        following = config.follow and not session.until_current
        while True:
            reading.read_all()
            if not following or session.stopping or session.wait(config.poll_interval / 1000):
                return
            reading.look_for_files(_paths(config.path))


class _Reading:
    """The files that are open, and how far each has been read."""

    def __init__(self, config: Settings, session: InputSession, paths: list[str]) -> None:
        self._config, self._session = config, session
        self._positions = read_checkpoint(session.checkpoint_position)
        self._open: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._bare: dict[str, bool] = {}
        self.look_for_files(paths)

    def look_for_files(self, paths: list[str]) -> None:
        """Open files that are new; read the rest of one that was replaced, then its successor from the
        start."""
        for path in paths:
            try:
                found = Path(path).stat()
                fd = self._open.get(path)
                if fd is not None:
                    if os.fstat(fd).st_ino == found.st_ino:
                        if found.st_size < self._offsets[path]:
                            self._gap(path, "it was truncated while being followed")
                        continue
                    self._read(path, fd, replaced=True)
                    os.close(fd)
                    self._positions.pop(path, None)
                self._open_file(path)
            except OSError as problem:
                raise ProviderError("Cannot read file", f"{path}: {problem.strerror}", path="config.path") from None

    def _open_file(self, path: str) -> None:
        fd = self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        position = self._positions.get(path)
        self._offsets[path] = position.offset if position else 0
        self._ends[path] = os.fstat(fd).st_size
        self._bare.pop(path, None)
        if position and (reason := position.gap(fd)):
            self._gap(path, reason)

    def _gap(self, path: str, reason: str) -> None:
        if self._config.on_gap == "fail":
            raise ProviderError(
                "Source changed",
                f'{path}: {reason}. Lines may be missing. To read it from the start, set on_gap = "snapshot"',
                path="config.path",
            )
        log(f"{path}: {reason}; reading it from the start")
        self._offsets[path] = 0

    def read_all(self) -> None:
        """Read every open file to its present end (to the end it had at the start, if that was asked for)."""
        for path, fd in sorted(self._open.items()):
            self._read(path, fd)

    def _read(self, path: str, fd: int, replaced: bool = False) -> None:
        session = self._session
        while not session.stopping:
            at = self._offsets[path]
            if session.until_current and at >= self._ends[path]:
                return
            block = self._complete_lines(path, fd, at, replaced)
            if not block:
                return
            self._emit(path, block, at)
            self._positions[path] = Position.of(fd, self._offsets[path])
            session.checkpoint(write_checkpoint(self._positions))

    def _complete_lines(self, path: str, fd: int, at: int, replaced: bool) -> bytes:
        """Return lines from `at`; more than 1 MiB only for one long line; nothing when none is finished."""
        size = _CHUNK
        while True:
            block = os.pread(fd, size, at)
            end = block.rfind(b"\n") + 1
            if end:
                return block[:end]
            if len(block) < size:
                growing = self._config.follow and not self._session.until_current and not replaced
                return b"" if growing else _last_line(block)
            if size >= _LINE_LIMIT:
                raise ProviderError("Line too long", f"{path}: the line at byte {at} exceeds {_LINE_LIMIT} bytes")
            size *= 4

    def _emit(self, path: str, block: bytes, at: int) -> None:
        session = self._session
        allowed = None if session.max_records is None else session.max_records - session.records
        if allowed is not None and block.count(b"\n") > allowed:
            block = b"".join(block.splitlines(keepends=True)[:allowed])
        if path not in self._bare:
            first = block.lstrip().split(b"\n", 1)[0]
            content = self._config.content
            self._bare[path] = content == "objects" or (content == "auto" and not looks_like_envelopes(first))
        ready = None if self._bare[path] else envelopes(block)
        if ready is not None:
            session.emit_bytes(ready, ready.count(b"\n"))
        else:
            self._emit_parsed(path, block, at)
        self._offsets[path] = at + len(block)

    def _emit_parsed(self, path: str, block: bytes, at: int) -> None:
        bare = self._bare[path]
        table = {"TableName": self._config.table or Path(path).stem, "OperationType": "Insert"} if bare else {}
        for line in block.split(b"\n"):
            found = parse(line, f"{path}, byte {at}", bare)
            if found is not None:
                self._session.emit(found[0], found[1] or table)
            at += len(line) + 1


def _last_line(line: bytes) -> bytes:
    """Return the last line of a file that does not end with a newline if it is whole, else nothing."""
    if not line.strip():
        return b""
    try:
        parse(line, "", bare=True)
    except ProviderError:
        log("the last line is incomplete and was not read")
        return b""
    return line


def _paths(pattern: str) -> list[str]:
    if glob.has_magic(pattern) and not Path(pattern).exists():
        root = Path(Path(pattern).anchor)
        return sorted(str(path) for path in root.glob(str(Path(pattern).relative_to(root))) if path.is_file())
    return [pattern] if Path(pattern).exists() else []


PROVIDER = Provider("jsonl", distribution="dstream-jsonl", input=Reader())
