"""The rules for the differences of the language that are meant; each has a line in docs/coming-from-terraform.md.

A rule sees an expression with both facts, and says whether it explains their difference: between two values, or between
a value and an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.tofu.language.fact import UNKNOWN, Fact


def _type_of_nothing(expression: str, our: Fact, their: Fact) -> bool:
    """dstream keeps no type for null and for elements that are not there."""
    return our.value == their.value and our.sensitive == their.sensitive and _types_alike(our.type, their.type)


def _types_alike(ours: Any, theirs: Any) -> bool:
    """Whether types are equal where dstream has one."""
    if ours == theirs or ours == "dynamic":
        return True
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_types_alike, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_types_alike(each, theirs[name]) for name, each in ours.items())
    return False


def _nonsensitive(expression: str, our: Fact, their: Fact) -> bool:
    return "nonsensitive(" in expression and our.value == their.value and set(our.sensitive) <= set(their.sensitive)


def _not_evaluated(expression: str, our: Fact, their: Fact) -> bool:
    """A branch, operand or argument of `coalesce` that does not count does not mark the result."""
    marked = set(our.sensitive) < set(their.sensitive)
    return marked and _has(r"\?|&&|\|\||coalesce", expression) and _known_alike(our.value, their.value)


def _mark_kept(expression: str, our: Fact, their: Fact) -> bool:
    """OpenTofu loses some marks where something is unknown; its `lookup` ignores that of a default that is not used."""
    more = set(their.sensitive) < set(our.sensitive)
    return more and their.value == our.value


def _decimal_power(expression: str, our: Fact, their: Fact) -> bool:
    """`pow` and `log` compute with 64 bits in OpenTofu."""
    pair = (our.value, their.value)
    close = all(isinstance(each, int | Decimal) for each in pair) and abs(pair[0] - pair[1]) <= abs(pair[1]) / 10**12
    return close and _has(r"\b(pow|log)\(", expression)


def _matched_unknown(expression: str, our: Fact, their: Fact) -> bool:
    """OpenTofu's `matchkeys` takes unknown keys for different ones."""
    return our.value == UNKNOWN and _has(r"\bmatchkeys\(", expression)


def _known_earlier(expression: str, our: Fact, their: Fact) -> bool:
    """dstream knows a part that OpenTofu does not know yet."""
    earlier = _has(r"\b(try|can|issensitive|values|reverse|merge|startswith)\(|[!=]=|\?", expression)
    return earlier and _known_alike(our.value, their.value) and our.sensitive == their.sensitive


def _known_alike(ours: Any, theirs: Any) -> bool:
    """Whether values are equal in all that OpenTofu knows."""
    if theirs == UNKNOWN or ours == theirs:
        return True
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_known_alike, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_known_alike(each, theirs[name]) for name, each in ours.items())
    return False


def _known_later(expression: str, our: Fact, their: Fact) -> bool:
    """The bounds of unknown numbers are not kept, nor all that is known of lengths."""
    bounds = their.type == "bool" and _has(r"[<>]", expression)
    return our.value == UNKNOWN and (bounds or (their.type == "number" and "length(" in expression))


def _negative_zero(expression: str, our: Fact, their: Fact) -> bool:
    return isinstance(their.value, str) and "-0" in their.value and their.value.replace("-0", "0") == our.value


def _coalesced(expression: str, our: Fact, their: Fact) -> bool:
    """Only the sensitive parts of the selected value stay sensitive; null does not count for its type."""
    alike = our.value == their.value or _texts(our.value) == _texts(their.value)
    return "coalesce" in expression and alike and bool(our.sensitive) == bool(their.sensitive)


def _texts(value: Any) -> Any:
    return [_texts(each) for each in value] if isinstance(value, list) else str(value)


def _odd_networks(expression: str, our: Fact, their: Fact) -> bool:
    """OpenTofu's addresses for negative numbers, and for IPv4 in IPv6, are not in the network."""
    return _has(r"cidrsubnet\(.*-1|cidrhost\(\"::ffff", expression)


def _mixed_collections(expression: str, our: Fact, their: Fact) -> bool:
    """Lists with sets, and collections with null or unknown ones, have a common type in each order, if there is one."""
    mixed = len(re.findall(r"null|local\.\w+|\[|\{", expression)) > 1
    alike = their.error or _texts(our.value) == _texts(their.value) or (our.error and "null" in expression)
    return mixed and alike and _has(r"tolist\(|toset\(|tomap\(|\?", expression)


def _operand_not_evaluated(expression: str, our: Fact, their: Fact) -> bool:
    """A right operand that does not count does not fail; a left one fails whatever the right one is."""
    return _has(r"&&|\|\|", expression)


def _body_of_nothing(expression: str, our: Fact, their: Fact) -> bool:
    """The body of a comprehension over nothing is not evaluated, and elements of nothing have no wrong type."""
    nothing = our.value in ([], {}, "", True, False)
    return their.error and nothing and _has(r"\bfor\b|\b(any|all)true\(", expression)


def _null_operand(expression: str, our: Fact, their: Fact) -> bool:
    return our.error and "null" in expression and _has(r"&&|\|\|", expression)


def _modulo_zero(expression: str, our: Fact, their: Fact) -> bool:
    return our.error and "%" in expression and "0" in expression


def _error_later(expression: str, our: Fact, their: Fact) -> bool:
    """A wrong unknown argument is found when it is known."""
    return their.error and _contains_unknown(our.value) and _has(r"local\.(u|pu|su)", expression)


def _error_earlier(expression: str, our: Fact, their: Fact) -> bool:
    """A wrong argument or key is found before all is known."""
    early = r"\b(sum|coalescelist|zipmap|alltrue|anytrue|try|index)\(|\[|/"
    return our.error and _contains_unknown(their.value) and _has(early, expression)


def _contains_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return value == UNKNOWN or any(map(_contains_unknown, value.values()))
    return isinstance(value, list) and any(map(_contains_unknown, value))


def _large_integers(expression: str, our: Fact, their: Fact) -> bool:
    """dstream takes integers of any size where OpenTofu takes 64 bits."""
    return their.error and _has(r"\d{19}", expression)


def _signum(expression: str, our: Fact, their: Fact) -> bool:
    return their.error and "signum(" in expression


def _encodings(expression: str, our: Fact, their: Fact) -> bool:
    return their.error and _has(r"text(en|de)codebase64\(", expression)


def _has(pattern: str, expression: str) -> bool:
    return re.search(pattern, expression) is not None


Rule = Callable[[str, Fact, Fact], bool]

VALUES: dict[str, Rule] = {
    "type-of-nothing": _type_of_nothing,
    "nonsensitive": _nonsensitive,
    "mark-kept": _mark_kept,
    "decimal-power": _decimal_power,
    "matched-unknown": _matched_unknown,
    "not-evaluated": _not_evaluated,
    "known-earlier": _known_earlier,
    "known-later": _known_later,
    "negative-zero": _negative_zero,
    "coalesced": _coalesced,
    "odd-networks": _odd_networks,
    "mixed-collections": _mixed_collections,
}
"""The rules for two values by name, in the order in which they are tried."""

ERRORS: dict[str, Rule] = {
    "operand-not-evaluated": _operand_not_evaluated,
    "null-operand": _null_operand,
    "modulo-zero": _modulo_zero,
    "body-of-nothing": _body_of_nothing,
    "error-later": _error_later,
    "error-earlier": _error_earlier,
    "signum": _signum,
    "large-integers": _large_integers,
    "encodings": _encodings,
    "odd-networks": _odd_networks,
    "mixed-collections": _mixed_collections,
}
"""The rules for a value and an error."""
