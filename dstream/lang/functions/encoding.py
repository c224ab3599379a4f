"""Functions that encode values as text, and decode them."""

from __future__ import annotations

import base64
import binascii
import csv
import gzip
import io
import re
import zlib
from decimal import Decimal
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from dstream.lang.functions.normal_form import normalized
from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.jsonvalue import value_as_json
from dstream.lang.values import Value, number
from dstream_state.codec import from_text

_MAX_UNPACKED = 100_000_000
_BARE_QUOTE = re.compile(r'(?>(?:"(?:[^"]|"")*+"|[^",\r\n]*+)(?:,|\r?\n))*+[^",\r\n]++"')
"""A quotation mark inside a field without any around it, after whole fields."""


@function("string: string")
def base64encode(text: Value) -> Value:
    """Return the string's UTF-8 bytes in Base64."""
    return base64.b64encode(text.encode()).decode()


@function("string: string")
def base64decode(text: Value) -> Value:
    """Return the UTF-8 text that is written in Base64."""
    return _utf8(_unbase64(text))


@function("string: string")
def base64gzip(text: Value) -> Value:
    """Return the string compressed by gzip, in Base64."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@function("string: string")
def base64gunzip(text: Value) -> Value:
    """Return the UTF-8 text that is compressed by gzip, in Base64."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(_unbase64(text))) as file:
            data = file.read(_MAX_UNPACKED + 1)
        if not data and not text:
            raise EOFError
    except (OSError, EOFError, zlib.error):
        raise FunctionError("the bytes are not compressed by gzip", 0) from None
    if len(data) > _MAX_UNPACKED:
        raise FunctionError("the text is too long", 0)
    return _utf8(data)


@function("string: string, encoding: string")
def textencodebase64(text: Value, encoding: Value) -> Value:
    """Return the string in a character encoding, in Base64."""
    try:
        return base64.b64encode(_encoded(text, _codec(encoding))).decode()
    except UnicodeEncodeError:
        raise FunctionError(f"the string has characters that {encoding} cannot represent", 0) from None


@function("string: string, encoding: string")
def textdecodebase64(text: Value, encoding: Value) -> Value:
    """Return the text in a character encoding that is written in Base64."""
    try:
        return _unbase64(text).decode(_codec(encoding))
    except UnicodeDecodeError:
        raise FunctionError(f"the bytes are not valid {encoding} text", 0) from None


def _encoded(text: str, codec: str) -> bytes:
    # Without a byte order in its name, UTF-16 has the mark of the order of networks, whatever this machine's is.
    return b"\xfe\xff" + text.encode("utf-16-be") if codec == "utf-16" else text.encode(codec)


def _codec(name: str) -> str:
    import codecs

    try:
        found = codecs.lookup(name).name
    except LookupError:
        raise FunctionError(f'there is no character encoding "{name}"; try UTF-8, UTF-16LE or ISO-8859-1', 1) from None
    return found


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.splitlines()), validate=True)
    except (binascii.Error, ValueError):
        raise FunctionError("the string is not in Base64", 0) from None


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FunctionError("the bytes are not valid UTF-8 text", 0) from None


@function("string: string")
def urlencode(text: Value) -> Value:
    """Return the string encoded for the query of a URL."""
    return quote_plus(text, safe="")


@function("string: string")
def urldecode(text: Value) -> Value:
    """Return the text decoded from the query of a URL."""
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        raise FunctionError("a percent sign is not followed by two hexadecimal digits", 0)
    return unquote_plus(text, errors="replace")


@function("value: any|null")
def jsonencode(value: Value) -> Value:
    """Return the value as JSON."""
    return json_text(value)


def json_text(value: Value) -> str:
    """Return a known value as JSON, as Terraform writes it: no spaces, names in order, `<`, `>` and `&` escaped."""
    text = value_as_json(value)
    for character in "<>&\u2028\u2029":
        if character in text:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@function("string: string")
def jsondecode(text: Value) -> Value:
    """Return the value of a JSON text."""
    try:
        found = from_text(text)
    except ValueError as wrong:
        raise FunctionError(f"the string is not valid JSON: {wrong}", 0) from None
    return _ordered(found)


def _ordered(value: Any) -> Value:
    if isinstance(value, dict):
        named = {normalized(name): inner for name, inner in value.items()}
        return {name: _ordered(named[name]) for name in sorted(named)}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if isinstance(value, str):
        return normalized(value)
    return number(value) if isinstance(value, Decimal) else value


@function("string: string", gives="list")
def csvdecode(text: Value) -> Value:
    """Return the rows of a CSV text as objects; its first row has the names."""
    if bare := _BARE_QUOTE.match(text):
        line = text.count("\n", 0, bare.end()) + 1
        raise FunctionError(f"line {line} has a quotation mark inside a field that does not start with one", 0)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as wrong:
        raise FunctionError(f"the string is not valid CSV: {wrong}", 0) from None
    if not rows:
        raise FunctionError("the string has no row with the names of the columns", 0)
    names = rows[0]
    if len(set(names)) < len(names):
        raise FunctionError("two columns have the same name", 0)
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise FunctionError(f"row {line} has {len(row)} columns, and there are {len(names)} names", 0)
    return [{name: row[names.index(name)] for name in sorted(names)} for row in rows[1:]]


@function("value: any|null")
def yamlencode(value: Value) -> Value:
    """Return the value as YAML."""
    from dstream.lang.functions.yamltext import encoded

    return encoded(value)


@function("string: string")
def yamldecode(text: Value) -> Value:
    """Return the value of a YAML text."""
    from dstream.lang.functions.yamltext import decoded

    return decoded(text)
