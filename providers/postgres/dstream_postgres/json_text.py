"""JSON as text: objects cut into members whose values stay as they are written.

PostgreSQL takes numbers of any size, any depth of json and halves of surrogate pairs inside of json. A parser that
makes values of them does not, so values are cut out, not parsed.
"""

from __future__ import annotations

import json
import re

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN = re.compile(rb"[^\s,:{}\[\]\"]+")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SPACE = re.compile(rb"\s*")


def members(text: bytes) -> dict[str, bytes]:
    """The members of a JSON object, each value as its text. ValueError for what is not a JSON object."""
    at = _skip(text, 0)
    if text[at : at + 1] != b"{":
        raise ValueError("not a JSON object")
    out: dict[str, bytes] = {}
    at = _skip(text, at + 1)
    if text[at : at + 1] == b"}":
        return _ended(text, at + 1, out)
    while True:
        name = _STRING.match(text, at)
        if name is None:
            raise ValueError(f"a name is missing at byte {at}")
        at = _skip(text, name.end())
        if text[at : at + 1] != b":":
            raise ValueError(f"a colon is missing at byte {at}")
        begin = _skip(text, at + 1)
        end = value_end(text, begin)
        out[string(name[0])] = text[begin:end]
        at = _skip(text, end)
        mark = text[at : at + 1]
        if mark == b"}":
            return _ended(text, at + 1, out)
        if mark != b",":
            raise ValueError(f"a comma is missing at byte {at}")
        at = _skip(text, at + 1)


def value_end(text: bytes, at: int) -> int:
    """The place behind the value that begins at `at`. ValueError where no value is."""
    first = text[at : at + 1]
    if first == b'"':
        found = _STRING.match(text, at)
    elif first in (b"{", b"["):
        depth = 0
        for bracket in _BRACKETS.finditer(text, at):
            mark = bracket[0]
            if mark in b"[{":
                depth += 1
            elif mark in b"]}":
                depth -= 1
                if not depth:
                    return bracket.end()
        raise ValueError(f"the value at byte {at} has no end")
    else:
        found = _PLAIN.match(text, at)
    if found is None:
        raise ValueError(f"a value is missing at byte {at}")
    return found.end()


def string(token: bytes) -> str:
    """The text of a JSON string. ValueError for an escape that JSON does not have."""
    if b"\\" not in token:
        return token[1:-1].decode()
    return str(json.loads(token))


def _skip(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _ended(text: bytes, at: int, out: dict[str, bytes]) -> dict[str, bytes]:
    if _skip(text, at) != len(text):
        raise ValueError(f"the object ends at byte {at}, and the line goes on")
    return out
