"""Log sequence numbers: binary(10) in SQL Server, integers in this provider, 20 hexadecimal digits in its output."""

from __future__ import annotations

LENGTH = 10
ZERO = 0


def from_bytes(value: bytes | None) -> int:
    """Convert binary(10). NULL is 0, which is before every LSN."""
    return int.from_bytes(value or b"", "big")


def to_bytes(lsn: int) -> bytes:
    """Convert to binary(10)."""
    return lsn.to_bytes(LENGTH, "big")


def to_hex(lsn: int) -> str:
    """Convert to the form of envelopes and checkpoints: 20 digits, which sort as text."""
    return f"{lsn:020x}"


def from_hex(text: str) -> int:
    """Parse 20 hexadecimal digits, with or without 0x. Raises ValueError."""
    return int(text, 16)


def from_log(text: str) -> int:
    """Parse `0000002d:000000c0:0001`, the form of the log's views. Raises ValueError."""
    vlf, block, slot = text.split(":")
    return int(vlf, 16) << 48 | int(block, 16) << 16 | int(slot, 16)
