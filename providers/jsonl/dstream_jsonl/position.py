"""How far a file has been read, and whether the file at a path is still the one that was read.

A checkpoint of the input is `{"source": "jsonl", "files": {PATH: {"device", "inode", "offset", "head"}}}`.
`head` is the CRC-32 of the first min(256, offset) bytes: inodes are given again to new files.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import Any

from dstream_sdk import InvalidError, ProviderError

_HEAD = 256


@dataclass(frozen=True, slots=True)
class Position:
    """How far one file has been read: everything before `offset`, which is the start of a line."""

    device: int
    inode: int
    offset: int
    head: int

    @staticmethod
    def of(fd: int, offset: int) -> Position:
        """Return the position at `offset` of an open file."""
        found = os.fstat(fd)
        return Position(found.st_dev, found.st_ino, offset, _head(fd, offset))

    def gap(self, fd: int) -> str | None:
        """Return why an open file does not continue the one that this position was taken in; None if it does.

        The device is not compared: it may change when a volume is mounted again.
        """
        found = os.fstat(fd)
        if found.st_size < self.offset:
            return f"it is {found.st_size} bytes long, but was read up to byte {self.offset}"
        if found.st_ino != self.inode:
            return "it has been replaced by another file"
        if _head(fd, self.offset) != self.head:
            return "its beginning has changed"
        return None

    def to_json(self) -> dict[str, int]:
        """Return the position as it stands in a checkpoint."""
        return {"device": self.device, "inode": self.inode, "offset": self.offset, "head": self.head}


def read_checkpoint(checkpoint: dict[str, Any] | None) -> dict[str, Position]:
    """Return the position of each file by its path. InvalidError when the checkpoint is of another input."""
    if checkpoint is None:
        return {}
    files = checkpoint.get("files")
    if checkpoint.get("source") != "jsonl" or not isinstance(files, dict):
        raise InvalidError("Checkpoint of another input", "the stored checkpoint was not written by the jsonl input")
    try:
        return {
            path: Position(int(at["device"]), int(at["inode"]), int(at["offset"]), int(at["head"]))
            for path, at in files.items()
        }
    except (KeyError, TypeError, ValueError):
        raise ProviderError("Damaged checkpoint", "a position in the stored checkpoint lacks a member") from None


def write_checkpoint(positions: dict[str, Position]) -> dict[str, Any]:
    """Return the checkpoint that says how far each file has been read."""
    return {"source": "jsonl", "files": {path: position.to_json() for path, position in positions.items()}}


def _head(fd: int, offset: int) -> int:
    return zlib.crc32(os.pread(fd, min(_HEAD, offset), 0))
