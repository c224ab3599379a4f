"""Envelopes on their way: the metadata is read, the data stays the text that the input wrote, digit for digit.

By msgspec, which checks a part of a text and leaves it as it is. That costs a third of reading all of it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from dstream_sdk import encode
from dstream_sdk.json_numbers import loads


class Envelope(msgspec.Struct, gc=False):
    """One line of the data."""

    data: msgspec.Raw
    metadata: dict[str, Any] | None = None

    @property
    def table(self) -> str:
        """The name of its table; empty where there is none."""
        name = (self.metadata or {}).get("TableName")
        return "" if name is None else str(name)


_encode = msgspec.json.Encoder(decimal_format="number").encode
_encode_sorted = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
_decode = msgspec.json.Decoder(Envelope, float_hook=Decimal).decode


def parse(line: bytes) -> Envelope:
    """Return the envelope of a line. Raises ValueError where it is none."""
    try:
        try:
            found = _decode(line)
        except msgspec.DecodeError:
            return _leniently(line)
    except RecursionError:
        raise ValueError("the nesting is too deep") from None
    except ArithmeticError:
        raise ValueError("a number has an exponent that is too large") from None
    if not line.isascii():
        line.decode()  # what is not read is not looked at
    if bytes(found.data)[:1] != b"{":
        raise ValueError("data is not an object")
    return found


def _leniently(line: bytes) -> Envelope:
    """Parse what the decoder does not take, as halves of surrogate pairs and numbers of any size; or say why not."""
    found = loads(line)
    if not isinstance(found, dict):
        raise ValueError("it is not an object")
    if not isinstance(found.get("data"), dict):
        raise ValueError("data is not an object")
    metadata = found.get("metadata")
    return Envelope(msgspec.Raw(encode(found["data"])), metadata if isinstance(metadata, dict) else None)


def text_of(value: Any, *, ordered: bool = False) -> bytes:
    """Return a part of an envelope as compact JSON in UTF-8.

    `ordered` sorts the names in objects, but where half of a surrogate pair is in it, which only an escape can carry.
    """
    try:
        return _encode_sorted(value) if ordered else _encode(value)
    except UnicodeEncodeError:
        return encode(value)
