"""Log sequence numbers: binary(10) of SQL Server, as integers here, and as 20 hexadecimal digits outside."""

from __future__ import annotations

LENGTH = 10
ZERO = 0


def from_bytes(value: bytes | None) -> int:
    """The server's binary(10); NULL is 0, which is before everything."""
    return int.from_bytes(value or b"", "big")


def to_bytes(lsn: int) -> bytes:
    """As the server wants it."""
    return lsn.to_bytes(LENGTH, "big")


def to_hex(lsn: int) -> str:
    """As envelopes and checkpoints have it: 20 digits, which sort as text."""
    return f"{lsn:020x}"


def from_hex(text: str) -> int:
    """20 hexadecimal digits, with or without 0x. Raises ValueError."""
    return int(text, 16)


def from_log(text: str) -> int:
    """`0000002d:000000c0:0001`, as the log's views print it. Raises ValueError."""
    vlf, block, slot = text.split(":")
    return int(vlf, 16) << 48 | int(block, 16) << 16 | int(slot, 16)
