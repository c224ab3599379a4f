"""Results of matches for the functions of regular expressions."""

from __future__ import annotations

from dstream.lang.functions.registry import FunctionError
from dstream.lang.patterns import Match, Pattern, PatternError, compile_pattern
from dstream.lang.values import Value

_REFERENCE = r"\$(?:\$|\{([\pL\p{Nd}_]+)\}|([\pL\p{Nd}_]+))"


def compiled(pattern: str, argument: int) -> Pattern:
    """Return the pattern; raise FunctionError that blames the argument."""
    try:
        return compile_pattern(pattern)
    except PatternError as wrong:
        raise FunctionError(f"the pattern is not a regular expression: {wrong}", argument) from None


def captured(pattern: Pattern, match: Match) -> Value:
    """Return a match as `regex` does."""
    names = pattern.groupindex
    if names and len(names) < pattern.groups:
        raise FunctionError("either every group of the pattern has a name of its own, or none has a name", 0)
    if names:
        return {name: match[number] for name, number in sorted(names.items())}
    return list(match.groups()) if pattern.groups else match.group()


def expanded(replacement: str, pattern: Pattern, match: Match) -> str:
    """Return a replacement with `$1`, `${1}` and `$name` replaced by groups; `$$` is a dollar sign."""
    if "$" not in replacement:
        return replacement
    made: list[str] = []
    end = 0
    for reference in compile_pattern(_REFERENCE).finditer(replacement):
        name = reference[1] or reference[2]
        made.extend((replacement[end : reference.start()], _group(name, pattern, match) if name else "$"))
        end = reference.end()
    return "".join((*made, replacement[end:]))


def _group(name: str, pattern: Pattern, match: Match) -> str:
    number = pattern.groupindex.get(name)
    if number is None and name.isascii() and name.isdigit() and name == str(int(name)):
        number = int(name)
    return (match[number] or "") if number is not None and number <= pattern.groups else ""
