"""Regular expressions in the syntax of RE2, which Terraform's functions take, run by Python's `re`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from dstream.lang.functions.registry import FunctionError
from dstream.lang.values import Value

_UNSUPPORTED = re.compile(r"\(\?(?:=|!|<=|<!|P=|>|\()|\\[1-9]")
_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7F", "blank": r"\t ", "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern for Python's re; raise FunctionError for what is not RE2."""
    if _UNSUPPORTED.search(pattern.replace("\\\\", "")):
        raise FunctionError(
            "the pattern has a lookaround or back-reference, which regular expressions here do not have", 0
        )
    try:
        return re.compile(_translated(pattern), re.ASCII if pattern.isascii() else 0)
    except (re.error, OverflowError, RecursionError) as wrong:
        raise FunctionError(f"the pattern is no regular expression: {wrong}", 0) from None


def _translated(pattern: str) -> str:
    """Return an RE2 pattern as Python writes it."""
    pattern = re.sub(r"\\Q(.*?)(?:\\E|\Z)", lambda match: re.escape(match[1]), pattern, flags=re.DOTALL)
    pattern = pattern.replace("(?<", "(?P<") if "(?P<" not in pattern else pattern
    pattern = re.sub(r"\\z", r"\\Z", pattern)
    pattern = re.sub(r"\\x\{([0-9a-fA-F]{1,6})\}", lambda match: f"\\U{int(match[1], 16):08x}", pattern)
    pattern = re.sub(r"\[\[:(\w+):\]\]", lambda match: f"[{_posix(match[1])}]", pattern)
    pattern = re.sub(r"\[:(\w+):\]", lambda match: _posix(match[1]), pattern)
    pattern = re.sub(r"\\([pP])(?:\{(\^?)(\w+)\}|(\w))", _property, pattern)
    # `$` is the end of the text in RE2; in Python it also matches before a last line break.
    return _ends(pattern)


def _posix(name: str) -> str:
    if name not in _CLASSES:
        raise FunctionError(f"there is no character class [:{name}:]", 0)
    return _CLASSES[name]


def _property(match: re.Match[str]) -> str:
    name = match[3] or match[4]
    classes = {"L": r"[^\W\d_]", "Lu": "[A-Z\u00c0-\u00de]", "Ll": "[a-z\u00df-\u00ff]", "N": r"\d", "Nd": r"\d"}
    if name not in classes:
        raise FunctionError(f"the character class \\p{{{name}}} is not supported", 0)
    negative = (match[1] == "P") != bool(match[2])
    return f"(?:(?!{classes[name]}).)" if negative else classes[name]


def _ends(pattern: str) -> str:
    if "$" not in pattern or re.search(r"\(\?[a-z]*m", pattern):
        return pattern
    made: list[str] = []
    in_class = False
    index = 0
    while index < len(pattern):
        character = pattern[index]
        if character == "\\":
            made.append(pattern[index : index + 2])
            index += 2
            continue
        if character == "[":
            in_class = True
        elif character == "]":
            in_class = False
        made.append(r"\Z" if character == "$" and not in_class else character)
        index += 1
    return "".join(made)


def captured(match: re.Match[str]) -> Value:
    """Return a match as `regex` does."""
    names = match.re.groupindex
    if names and len(names) < match.re.groups:
        raise FunctionError("the groups of the pattern must either all have names, or none", 0)
    if names:
        return {name: match[name] for name in sorted(names)}
    return list(match.groups()) if match.re.groups else match.group()


_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


def expanded(replacement: str, match: re.Match[str]) -> str:
    """Return a replacement with `$1`, `${1}` and `$name` replaced by groups."""

    def group(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        name: Any = found[2] or found[3]
        try:
            return match[int(name) if name.isdigit() else name] or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(group, replacement)
