"""RE2's syntax of regular expressions -> the same pattern for Python's `re`.

What RE2 does not have (lookaround, back-references, possessive repetition) is an error here too. Character classes
are those of RE2: \\d, \\w, \\s and \\b know ASCII only, \\p{...} knows Unicode. Flags that change in the middle of
a pattern are written out at each part that they touch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dstream.lang.functions.characters import NAMED, UnknownClass, ranges_of

_MAX_REPEAT = 1000
_REPEAT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_GROUP_NAME = re.compile(r"\?P?<([A-Za-z0-9_]+)>")
_FLAGS = re.compile(r"\?([imsU]*)(?:-([imsU]+))?([:)])")
_CONTROLS = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_PERL = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}
_ANCHORS = {"A": r"\A", "z": r"\Z", "b": r"(?a:\b)", "B": r"(?a:\B)"}


class PatternError(Exception):
    """A pattern is none of RE2's; the text says why, without its full stop."""


@dataclass(frozen=True, slots=True)
class _Flags:
    """The flags that hold at one place of a pattern."""

    i: bool = False
    m: bool = False
    s: bool = False
    U: bool = False


def translated(pattern: str) -> str:
    """Return the pattern for Python's `re`; raise PatternError."""
    return _Translator(pattern).whole()


class _Translator:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._pos = 0

    def whole(self) -> str:
        made = self._alternatives(_Flags(), 0)
        if self._pos < len(self._text):
            raise PatternError("there is a ) without its (")
        return made

    def _alternatives(self, flags: _Flags, depth: int) -> str:
        """Read up to the end or the closing parenthesis."""
        if depth > 200:
            raise PatternError("it nests too deeply")
        made: list[str] = []
        while self._pos < len(self._text) and self._text[self._pos] != ")":
            if self._text[self._pos] == "|":
                self._pos += 1
                made.append("|")
                continue
            changed = self._flag_change(flags)
            if changed is not None:
                flags = changed
                continue
            made.extend(self._repeated(*self._atom(flags, depth), flags))
        return "".join(made)

    def _flag_change(self, flags: _Flags) -> _Flags | None:
        match = _FLAGS.match(self._text, self._pos + 1) if self._text[self._pos] == "(" else None
        if match is None or match[3] != ")" or match.end() == self._pos + 3:
            return None
        self._pos = match.end()
        return _changed(flags, match)

    def _repeated(self, atom: str, repeatable: bool, flags: _Flags) -> list[str]:
        made = [atom]
        operator = self._operator()
        if operator is None:
            return made
        if not repeatable:
            raise PatternError(f"{operator} has nothing to repeat")
        lazy = self._text.startswith("?", self._pos)
        self._pos += lazy
        start = self._pos
        if self._operator() is not None:
            raise PatternError(f"{operator}{self._text[start : self._pos]} repeats a repetition; use parentheses")
        return [*made, operator, "?" if lazy != flags.U else ""]

    def _operator(self) -> str | None:
        """Read `*`, `+`, `?` or `{n,m}`, if one is here."""
        character = self._text[self._pos : self._pos + 1]
        if character in ("*", "+", "?"):
            self._pos += 1
            return character
        match = _REPEAT.match(self._text, self._pos) if character == "{" else None
        if match is None:
            return None
        self._pos = match.end()
        if any(int(limit) > _MAX_REPEAT for limit in (match[1], match[3]) if limit):
            raise PatternError(f"{match.group()} repeats more than {_MAX_REPEAT} times")
        if match[3] and int(match[3]) < int(match[1]):
            raise PatternError(f"{match.group()} has its limits in the wrong order")
        return match.group()

    def _atom(self, flags: _Flags, depth: int) -> tuple[str, bool]:
        """Return the next part, and whether it can be repeated."""
        character = self._text[self._pos]
        if character == "(":
            return self._group(flags, depth), True
        if character == "[":
            return _cased(self._class(), flags), True
        if character == "\\":
            return self._escape(flags)
        if character in "*+?" or (character == "{" and _REPEAT.match(self._text, self._pos)):
            return "", False
        self._pos += 1
        if character == "^":
            return "(?m:^)" if flags.m else r"\A", True
        if character == "$":
            return "(?m:$)" if flags.m else r"\Z", True
        if character == ".":
            return "(?s:.)" if flags.s else r"[^\n]", True
        return _cased(re.escape(character), flags), True

    def _group(self, flags: _Flags, depth: int) -> str:
        opened = self._pos
        self._pos += 1
        opening = "("
        if self._text.startswith("?", self._pos):
            name, changed = _GROUP_NAME.match(self._text, self._pos), _FLAGS.match(self._text, self._pos)
            if name is not None:
                opening, self._pos = f"(?P<{name[1]}>", name.end()
            elif changed is not None and changed[3] == ":":
                opening, flags, self._pos = "(?:", _changed(flags, changed), changed.end()
            else:
                shown = self._text[opened : opened + 4]
                raise PatternError(f"{shown} starts nothing; there is no lookaround, and no back-reference")
        inner = self._alternatives(flags, depth + 1)
        if self._pos >= len(self._text):
            raise PatternError("there is a ( without its )")
        self._pos += 1
        return f"{opening}{inner})"

    def _escape(self, flags: _Flags) -> tuple[str, bool]:
        if self._text.startswith(r"\Q", self._pos):
            end = self._text.find(r"\E", self._pos)
            text = self._text[self._pos + 2 : end if end >= 0 else len(self._text)]
            self._pos = end + 2 if end >= 0 else len(self._text)
            return "".join(_cased(re.escape(character), flags) for character in text), bool(text)
        name = self._text[self._pos + 1 : self._pos + 2]
        if name in _ANCHORS and name:
            self._pos += 2
            return _ANCHORS[name], True
        named = self._named_class()
        if named is not None:
            return _cased(f"[{named}]", flags), True
        return _cased(re.escape(self._character()), flags), True

    def _named_class(self) -> str | None:
        """Read \\d, \\pL and their like, if one is here, as what stands in brackets in Python."""
        text, start = self._text, self._pos
        name = text[start + 1 : start + 2]
        if name and name in "dDwWsS":
            self._pos += 2
            inner = _PERL[name.lower()]
            return _inverted(inner) if name.isupper() else inner
        if not name or name not in "pP":
            return None
        match = re.compile(r"\\[pP](?:\{(\^?)(\w+)\}|(\w))").match(text, start)
        if match is None:
            raise PatternError(f"{text[start : start + 2]} lacks the name of a class")
        self._pos = match.end()
        negative = (name == "P") != bool(match[1])
        return _known(match[2] or match[3], negative)

    def _character(self) -> str:
        """Read an escape that stands for one character."""
        text, start = self._text, self._pos
        match = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]+)\}|(0[0-7]{0,2}|[1-7][0-7]{1,2})|(.))", re.DOTALL)
        found = match.match(text, start)
        if found is None:
            raise PatternError("it ends with a backslash")
        self._pos = found.end()
        digits = found[1] or found[2]
        if digits or found[3]:
            number = int(digits, 16) if digits else int(found[3], 8)
            if number > 0x10FFFF:
                raise PatternError(f"{found.group()} is no character")
            return chr(number)
        if found[4] in _CONTROLS:
            return _CONTROLS[found[4]]
        if found[4].isascii() and not found[4].isalnum():
            return found[4]
        what = "a back-reference, which there is not" if found[4].isdigit() else "no escape"
        raise PatternError(f"{found.group()} is {what}")

    def _class(self) -> str:
        """Read a class in brackets."""
        text = self._text
        self._pos += 1
        negative = text.startswith("^", self._pos)
        self._pos += negative
        made: list[str] = []
        first = True
        while first or not text.startswith("]", self._pos):
            first = False
            if self._pos >= len(text):
                raise PatternError("there is a [ without its ]")
            posix = re.compile(r"\[:(\^?)(\w+):\]").match(text, self._pos)
            if posix is not None:
                if posix[2] not in NAMED:
                    raise PatternError(f"there is no character class {posix.group()}")
                self._pos = posix.end()
                made.append(_inverted(NAMED[posix[2]]) if posix[1] else NAMED[posix[2]])
                continue
            named = self._named_class() if text[self._pos] == "\\" else None
            made.append(named if named is not None else self._range())
        self._pos += 1
        return f"[{'^' if negative else ''}{''.join(made)}]"

    def _range(self) -> str:
        low = self._member()
        text = self._text
        if not text.startswith("-", self._pos) or text[self._pos + 1 : self._pos + 2] in ("]", ""):
            return re.escape(low)
        self._pos += 1
        high = self._member()
        if high < low:
            raise PatternError(f"the range {low}-{high} is in the wrong order")
        return f"{re.escape(low)}-{re.escape(high)}"

    def _member(self) -> str:
        if self._text.startswith("\\", self._pos):
            return self._character()
        self._pos += 1
        return self._text[self._pos - 1]


def _changed(flags: _Flags, match: re.Match[str]) -> _Flags:
    on, off = dict.fromkeys(match[1], True), dict.fromkeys(match[2] or "", False)
    return replace(flags, **on, **off)


def _cased(part: str, flags: _Flags) -> str:
    return f"(?i:{part})" if flags.i else part


def _known(name: str, negative: bool) -> str:
    try:
        return ranges_of(name, negative)
    except UnknownClass:
        raise PatternError(f"there is no character class {name}") from None


def _inverted(inner: str) -> str:
    """Return, for brackets, all characters that are not among those given for brackets."""
    taken = re.compile(f"[{inner}]")
    spans: list[str] = []
    start: int | None = 0
    for code in range(129):
        if code == 128 or taken.match(chr(code)):
            if start is not None and code > start:
                spans.append(f"\\x{start:02x}-\\x{code - 1:02x}")
            start = code + 1
    return "".join(spans) + "\\x80-\\U0010ffff"
