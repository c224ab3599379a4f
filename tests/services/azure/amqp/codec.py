"""AMQP types to bytes and back. What Python has no type for is a small class of its own: nothing is lost on the way."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import Any


class Symbol(str):
    """A symbolic value of a constrained domain."""


class Ubyte(int):
    """8 bits, unsigned."""


class Ushort(int):
    """16 bits, unsigned."""


class Uint(int):
    """32 bits, unsigned."""


class Ulong(int):
    """64 bits, unsigned."""


class Byte(int):
    """8 bits."""


class Short(int):
    """16 bits."""


class Int(int):
    """32 bits. A plain int is a long, of 64 bits."""


class Float(float):
    """32 bits. A plain float has 64."""


class Timestamp(int):
    """Milliseconds since 1970."""


class Char(int):
    """One character, by its number."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A value that is only passed on, with its constructor: decimals."""

    encoded: bytes


@dataclass(frozen=True, slots=True)
class Array:
    """Values of one type; `constructor` is theirs."""

    constructor: int
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """A value with what it means."""

    descriptor: Any
    value: Any


_FIXED: dict[int, tuple[struct.Struct, type[Any]]] = {
    0x50: (struct.Struct(">B"), Ubyte),
    0x60: (struct.Struct(">H"), Ushort),
    0x70: (struct.Struct(">I"), Uint),
    0x52: (struct.Struct(">B"), Uint),
    0x80: (struct.Struct(">Q"), Ulong),
    0x53: (struct.Struct(">B"), Ulong),
    0x51: (struct.Struct(">b"), Byte),
    0x61: (struct.Struct(">h"), Short),
    0x71: (struct.Struct(">i"), Int),
    0x54: (struct.Struct(">b"), Int),
    0x81: (struct.Struct(">q"), int),
    0x55: (struct.Struct(">b"), int),
    0x72: (struct.Struct(">f"), Float),
    0x82: (struct.Struct(">d"), float),
    0x83: (struct.Struct(">q"), Timestamp),
    0x73: (struct.Struct(">I"), Char),
    0x56: (struct.Struct(">B"), bool),
}
_CONSTANT: dict[int, Any] = {0x40: None, 0x41: True, 0x42: False, 0x43: Uint(0), 0x44: Ulong(0)}
_RAW = {0x74: 4, 0x84: 8, 0x94: 16}
_BYTE, _WORD = struct.Struct(">B"), struct.Struct(">I")


def decode(buffer: bytes, at: int = 0) -> tuple[Any, int]:
    """Return the value at a place, and where the next one begins. Raises ValueError, IndexError or struct.error."""
    constructor = buffer[at]
    if constructor == 0:
        descriptor, at = decode(buffer, at + 1)
        value, at = decode(buffer, at)
        return Described(descriptor, value), at
    return _value(buffer, at + 1, constructor)


def end_of(buffer: bytes, at: int) -> int:
    """Return where the value at a place ends, without reading it."""
    constructor = buffer[at]
    if constructor == 0:
        return end_of(buffer, end_of(buffer, at + 1))
    kind = constructor >> 4
    if kind in (0xA, 0xC, 0xE):
        return at + 2 + buffer[at + 1]
    if kind in (0xB, 0xD, 0xF):
        return at + 5 + int(_WORD.unpack_from(buffer, at + 1)[0])
    return at + 1 + (0 if kind == 4 else 1 << (kind - 5))


def _value(buffer: bytes, at: int, constructor: int) -> tuple[Any, int]:
    if constructor in _CONSTANT:
        return _CONSTANT[constructor], at
    if (fixed := _FIXED.get(constructor)) is not None:
        layout, kind = fixed
        return kind(layout.unpack_from(buffer, at)[0]), at + layout.size
    if constructor == 0x98:
        return uuid.UUID(bytes=bytes(buffer[at : at + 16])), at + 16
    if constructor == 0x45:
        return [], at
    if constructor in _RAW:
        end = at + _RAW[constructor]
        return Raw(bytes([constructor]) + bytes(buffer[at:end])), end
    wide = constructor >> 4 in (0xB, 0xD, 0xF)
    layout = _WORD if wide else _BYTE
    size = layout.unpack_from(buffer, at)[0]
    at += layout.size
    end = at + size
    if end > len(buffer):
        raise ValueError(f"a value of {size} bytes does not fit")
    low = constructor & 0x0F
    if constructor >> 4 in (0xA, 0xB):
        piece = bytes(buffer[at:end])
        if low == 0:
            return piece, end
        return (piece.decode() if low == 1 else Symbol(piece.decode("ascii"))), end
    count = layout.unpack_from(buffer, at)[0]
    at += layout.size
    if constructor >> 4 in (0xE, 0xF):
        return _array(buffer, at, count), end
    values = []
    for _ in range(count):
        value, at = decode(buffer, at)
        values.append(value)
    if low == 1:
        return dict(zip(values[::2], values[1::2], strict=True)), end
    return values, end


def _array(buffer: bytes, at: int, count: int) -> Array:
    constructor = buffer[at]
    at += 1
    values = []
    for _ in range(count):
        value, at = _value(buffer, at, constructor)
        values.append(value)
    return Array(constructor, tuple(values))


def encode(value: Any) -> bytes:
    """Return a value as bytes; TypeError for what AMQP has no type for."""
    out = bytearray()
    _put(out, value)
    return bytes(out)


def _put(out: bytearray, value: Any) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise TypeError(f"{type(value).__name__} has no AMQP type here")
    writer(out, value)


def _sized(out: bytearray, kind: int, piece: bytes) -> None:
    if len(piece) < 256:
        out += bytes((0xA0 | kind, len(piece)))
    else:
        out += bytes((0xB0 | kind,)) + _WORD.pack(len(piece))
    out += piece


def _compound(out: bytearray, kind: int, values: list[Any]) -> None:
    inner = bytearray()
    for each in values:
        _put(inner, each)
    out += bytes((0xD0 | kind,)) + _WORD.pack(len(inner) + 4) + _WORD.pack(len(values))
    out += inner


def _list(out: bytearray, value: list[Any]) -> None:
    if value:
        _compound(out, 0, list(value))
    else:
        out.append(0x45)


def _map(out: bytearray, value: dict[Any, Any]) -> None:
    _compound(out, 1, [each for pair in value.items() for each in pair])


def _described(out: bytearray, value: Described) -> None:
    out.append(0)
    _put(out, value.descriptor)
    _put(out, value.value)


def _whole_array(out: bytearray, value: Array) -> None:
    inner = bytearray()
    for each in value.values:
        if value.constructor in _FIXED:
            inner += _FIXED[value.constructor][0].pack(each)
        elif value.constructor == 0x98:
            inner += each.bytes
        elif value.constructor == 0xB3:
            text = each.encode()
            inner += _WORD.pack(len(text)) + text
        else:
            raise TypeError(f"an array of 0x{value.constructor:02x} is not written here")
    out += b"\xf0" + _WORD.pack(len(inner) + 5) + _WORD.pack(len(value.values)) + bytes((value.constructor,)) + inner


def _ulong(out: bytearray, value: int) -> None:
    out += bytes((0x53, value)) if 0 <= value < 256 else b"\x80" + struct.pack(">Q", value)


def _fixed(constructor: int) -> Any:
    layout = _FIXED[constructor][0]

    def write(out: bytearray, value: Any) -> None:
        out.append(constructor)
        out += layout.pack(value)

    return write


_WRITERS: dict[type[Any], Any] = {
    type(None): lambda out, _: out.append(0x40),
    bool: lambda out, value: out.append(0x41 if value else 0x42),
    Ubyte: _fixed(0x50),
    Ushort: _fixed(0x60),
    Uint: _fixed(0x70),
    Ulong: _ulong,
    Byte: _fixed(0x51),
    Short: _fixed(0x61),
    Int: _fixed(0x71),
    int: _fixed(0x81),
    Float: _fixed(0x72),
    float: _fixed(0x82),
    Timestamp: _fixed(0x83),
    Char: _fixed(0x73),
    uuid.UUID: lambda out, value: out.extend(b"\x98" + value.bytes),
    bytes: lambda out, value: _sized(out, 0, value),
    str: lambda out, value: _sized(out, 1, value.encode()),
    Symbol: lambda out, value: _sized(out, 3, value.encode("ascii")),
    list: _list,
    dict: _map,
    Array: _whole_array,
    Described: _described,
    Raw: lambda out, value: out.extend(value.encoded),
}
