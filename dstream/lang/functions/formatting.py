"""format: the verbs of the function of that name."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from dstream.lang.functions.registry import FunctionError
from dstream.lang.types import ConversionError, to_bool, to_number, to_string
from dstream.lang.values import Value, kind

_VERB = re.compile(
    r"%(?:%|(?P<flags>[-+ #0]*)(?P<width>\d+)?(?:\.(?P<precision>\d*))?(?:\[(?P<index>\d+)\])?(?P<verb>.)?)", re.DOTALL
)
_MAX_WIDTH = 100_000


def formatted(spec: str, values: tuple[Value, ...]) -> str:
    """Return the format with verbs replaced by values; raise FunctionError."""
    made: list[str] = []
    end = 0
    following = 0
    highest = 0
    indexed = False
    for match in _VERB.finditer(spec):
        made.append(spec[end : match.start()])
        end = match.end()
        if match.group() == "%%":
            made.append("%")
            continue
        if match["verb"] is None:
            raise FunctionError("the format ends with an unfinished verb. A percent sign itself is written %%", 0)
        if match["index"] is not None:
            following = int(match["index"]) - 1
            indexed = True
        if not 0 <= following < len(values):
            raise FunctionError(f"there is no value for {match.group()} at {match.start()}", 0)
        made.append(_one(match, values[following], following + 1))
        following += 1
        highest = max(highest, following)
    made.append(spec[end:])
    if highest < len(values) and not indexed:
        raise FunctionError(f"there are {len(values)} values, and the format uses {highest}", highest + 1)
    return "".join(made)


def _one(match: re.Match[str], value: Value, argument: int) -> str:
    flags, verb = match["flags"], match["verb"]
    width = int(match["width"]) if match["width"] else 0
    precision = int(match["precision"] or 0) if match["precision"] is not None else None
    if width > _MAX_WIDTH or (precision or 0) > _MAX_WIDTH:
        raise FunctionError("the width is too large", 0)
    try:
        text = _verb(verb, flags, precision, value)
    except ConversionError as wrong:
        raise FunctionError(f"{match.group()} cannot show its value: {wrong.message}", argument) from None
    return _padded(text, flags, width, zero=verb in "bdoxXeEfgG" or (verb == "v" and _is_number(value)))


def _is_number(value: Value) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _padded(text: str, flags: str, width: int, *, zero: bool) -> str:
    if len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and zero:
        sign = text[0] if text[:1] in ("-", "+", " ") else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _verb(verb: str, flags: str, precision: int | None, value: Value) -> str:
    if verb == "v":
        return _default(flags, value)
    if value is None:
        raise ConversionError("it is null")
    match verb:
        case "s":
            text = to_string(value)
            return text if precision is None else text[:precision]
        case "q":
            from dstream.lang.functions.encoding import json_text

            return json_text(to_string(value))
        case "t":
            return "true" if to_bool(value) else "false"
        case "d" | "b" | "o" | "x" | "X":
            return _whole(verb, flags, value)
        case "e" | "E" | "f" | "g" | "G":
            return _fraction(verb, flags, precision, value)
    raise FunctionError(f"there is no verb %{verb}. Verbs are %v %s %q %d %f %e %g %t %b %o %x %X and %#v", 0)


def _default(flags: str, value: Value) -> str:
    from dstream.lang.functions.encoding import json_text

    if "#" in flags or value is None or isinstance(value, dict | list) or kind(value) == "a set":
        return json_text(value)
    if _is_number(value):
        return ("+" if "+" in flags and value >= 0 else "") + to_string(value)
    return to_string(value)


def _sign(flags: str, negative: bool) -> str:
    return "-" if negative else "+" if "+" in flags else " " if " " in flags else ""


def _whole(verb: str, flags: str, value: Value) -> str:
    number = to_number(value)
    if not isinstance(number, int):
        raise ConversionError("a whole number is required")
    digits = {"d": "d", "b": "b", "o": "o", "x": "x", "X": "X"}[verb]
    prefix = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(verb, "") if "#" in flags else ""
    return _sign(flags, number < 0) + prefix + format(abs(number), digits)


def _fraction(verb: str, flags: str, precision: int | None, value: Value) -> str:
    number = to_number(value)
    sign = _sign(flags, number < 0)
    size: Any = abs(number)
    if verb == "f":
        return sign + format(Decimal(size), f".{6 if precision is None else precision}f")
    if verb in ("e", "E"):
        return sign + format(float(size), f".{6 if precision is None else precision}{verb}")
    return sign + _shortest(float(size), precision, verb)


def _shortest(size: float, precision: int | None, verb: str) -> str:
    """Return %g as Go writes it: the shortest digits, with an exponent below -4 and from 6 on."""
    if size == 0:
        return "0"
    exponent = math.floor(math.log10(size))
    if precision is not None:
        return format(size, f".{max(precision, 1)}{verb}")
    if exponent < -4 or exponent >= 6:
        mantissa, _, power = format(Decimal(repr(size)), "e").partition("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}{'e' if verb == 'g' else 'E'}{power[0]}{power[1:].zfill(2)}"
    text = format(Decimal(repr(size)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
