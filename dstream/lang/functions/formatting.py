"""Formatting: the verbs of the function `format`."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from dstream.lang.binary_numbers import shortest
from dstream.lang.convert import to_bool, to_number, to_string
from dstream.lang.functions.clusters import clusters
from dstream.lang.functions.registry import FunctionError
from dstream.lang.types import ConversionError
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
            raise FunctionError("the format ends with an unfinished verb; write %% for a percent sign", 0)
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
        raise FunctionError(f"{match.group()} cannot format its value: {wrong.message}", argument) from None
    return text if verb == "t" else _padded(text, flags, width)


def _padded(text: str, flags: str, width: int) -> str:
    missing = width - len(clusters(text))
    if missing <= 0:
        return text
    if "-" in flags:
        return text + " " * missing
    if "0" in flags:
        start = _PREFIX.match(text)
        sign = start.group() if start is not None else ""
        return sign + "0" * missing + text[len(sign) :]
    return " " * missing + text


_PREFIX = re.compile(r"[-+ ]?(?:0[bxX])?")


def _verb(verb: str, flags: str, precision: int | None, value: Value) -> str:
    if verb == "v":
        return _default(flags, precision, value)
    if value is None:
        raise ConversionError("it is null")
    match verb:
        case "s":
            text = to_string(value)
            return "".join(clusters(text)[:precision]) if precision else text
        case "q":
            from dstream.lang.functions.encoding import json_text

            return json_text(to_string(value))
        case "t":
            return "true" if to_bool(value) else "false"
        case "d" | "b" | "o" | "x" | "X":
            return _integer(verb, flags, precision, value)
        case "e" | "E" | "f" | "g" | "G":
            return _fraction(verb, flags, precision, value)
    raise FunctionError(f"unknown verb %{verb}; the verbs are %v %s %q %d %f %e %g %t %b %o %x %X and %#v", 0)


def _default(flags: str, precision: int | None, value: Value) -> str:
    from dstream.lang.functions.encoding import json_text

    if "#" in flags or value is None or isinstance(value, dict | list) or kind(value) == "a set":
        return json_text(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _fraction("g", flags.replace("+", ""), precision, value)
    return to_string(value)


def _sign(flags: str, negative: bool) -> str:
    return "-" if negative else "+" if "+" in flags else " " if " " in flags else ""


def _integer(verb: str, flags: str, precision: int | None, value: Value) -> str:
    number = to_number(value)
    if not isinstance(number, int):
        raise ConversionError("a whole number is required")
    digits = {"d": "d", "b": "b", "o": "o", "x": "x", "X": "X"}[verb]
    prefix = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(verb, "") if "#" in flags else ""
    return _sign(flags, number < 0) + prefix + format(abs(number), digits).rjust(precision or 0, "0")


def _fraction(verb: str, flags: str, precision: int | None, value: Value) -> str:
    number = to_number(value)
    sign = _sign(flags, number < 0)
    size: Any = number.copy_abs() if isinstance(number, Decimal) else abs(number)
    digits = 6 if precision is None else precision
    if verb == "f":
        return sign + format(_binary(size), f".{digits}f")
    if verb in ("e", "E"):
        return sign + _exponent(format(_binary(size), f".{digits}{verb}") if size else f"{0:.{digits}{verb}}")
    return sign + _shortest(Decimal(size), precision, verb)


def _binary(size: int | Decimal) -> Decimal:
    """Return the number as 512 binary digits hold it, which decides how the last digit that is shown is rounded."""
    if isinstance(size, int):
        return Decimal(size)
    numerator, denominator = size.as_integer_ratio()
    shift = max(0, 512 - numerator.bit_length() + denominator.bit_length())
    mantissa = round(Fraction(numerator << shift, denominator))
    return Context(prec=20_000, Emin=-999_999, Emax=999_999).divide(Decimal(mantissa), Decimal(1 << shift))


def _exponent(text: str) -> str:
    """Return a number with the two digits in its exponent that Go writes at least."""
    return re.sub(r"([eE][-+])(\d)$", r"\g<1>0\2", text)


def _shortest(size: Decimal, precision: int | None, verb: str) -> str:
    """Return %g as Go writes it: the shortest digits, with an exponent below -4 and from 6 on."""
    if size == 0:
        return "0"
    size = Decimal(shortest(size)) if precision is None else Context(prec=max(precision, 1)).plus(size)
    limit = 6 if precision is None else max(precision, 1)
    if -4 <= size.adjusted() < limit:
        text = format(size, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, mark, power = format(size, "e" if verb == "g" else "E").partition("e" if verb == "g" else "E")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return _exponent(f"{mantissa}{mark}{power}")
