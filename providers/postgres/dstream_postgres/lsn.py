"""Log sequence numbers: positions in the write-ahead log, as PostgreSQL prints them and as integers."""

from __future__ import annotations


def parse_lsn(text: str) -> int:
    """`16/B374D848` as an integer. Raises ValueError."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def format_lsn(lsn: int) -> str:
    """An integer as `16/B374D848`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def position_prefix(lsn: int) -> bytes:
    """The first part of an envelope's Position: fixed width, so that positions compare as text."""
    return b"%08X/%08X/" % (lsn >> 32, lsn & 0xFFFFFFFF)
