"""The lines that the kit sends to an output."""

from __future__ import annotations

from dstream.plugins.conformance.sink_view import text_of
from dstream.plugins.wire import encode

END = b'{"end":true}\n'


def envelope(number: int, table: str = "conformance") -> bytes:
    """Return an envelope as one line."""
    metadata = {"TableName": table, "OperationType": "Insert", "Key": {"id": number}}
    return encode({"data": {"id": number, "text": text_of(number)}, "metadata": metadata})


def checkpoint(number: int, *, pad: int = 0) -> bytes:
    """Return a checkpoint line whose position is at least `pad` bytes long."""
    position = {"source": "conformance", "id": number, **({"pad": "x" * pad} if pad else {})}
    return encode({"checkpoint": position, "n": number})
