"""Spellings of a sensitive value: the texts that other programs make of it, as patterns that find them.

Letters and digits stay what they are in every escape, so a spelling is searched for by its longest run of them; only a
text that contains this run is compared with the pattern, which is compiled then. The pattern allows each other
character in any of its escapes, in any mixture: which characters an encoder escapes differs between encoders.

Characters: JSON (Go and .NET escape `&`, `<`, `>`, `'`, `+` too), JSON within JSON, percent in either case and twice,
`+` for a space, HTML entities, `repr` of Python, doubled quotes of SQL, backslashes of shells, quoted-printable.
Whole values: base64 and base64url at each of the three alignments within a longer text, base64 of base64, hexadecimal
in either case with and without separators, the same of UTF-16. Each can be broken into lines.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from itertools import groupby

from dstream.plugins.connection_strings import passwords_in

SHORTEST = 4
"""Characters of a value, and of a spelling. A shorter one turns up in any text by chance, and is not searched for."""
_NO_SECRETS = frozenset({"true", "false", "null", "none", "None", "True", "False"})
_BREAK = rb"(?:(?:\\?\r?\n|(?:\\{1,4}r)?\\{1,4}n)[ \t]*)?"
_RAW_BREAK = rb"(?:\r?\n[ \t]*)?"
_SEPARATOR = rb"(?:[:\- ,]|\\{1,4}x)?"
_NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos", "\xa0": "nbsp"}
_LETTER = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f", "\0": "0", "\v": "v", "\x1b": "e"}
_LONGEST_BEGINNING = 8
_DOUBLED = frozenset("'\"`%${}]")
_RUN = re.compile(rb"[A-Za-z0-9]+")
_WHITE = b" \t\r\n"
_IN_HEX = b" \t\r\n:-,\\x"


class Spelling:
    """One spelling of a value; `hexadecimal` digits have no case, and may be separated."""

    __slots__ = ("_characters", "_made", "_url_safe", "anchor", "hexadecimal", "text")

    def __init__(self, text: str, *, hexadecimal: bool = False, url_safe: bool = False) -> None:
        """Take the text without escapes; in a `url_safe` one, `-` and `_` may stand for `+` and `/`."""
        self._characters, self.text = text, _bytes(text)
        self.hexadecimal, self._url_safe = hexadecimal, url_safe
        self.anchor = self.text if hexadecimal else max(_RUN.findall(self.text), key=len, default=b"")
        self._made: re.Pattern[bytes] | None = None

    def find(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where the spelling is in a text."""
        if self._made is None:
            self._made = re.compile(self._pattern())
        for match in self._made.finditer(data):
            yield match.span()

    def is_cut_by(self, line: bytes) -> bool:
        """Return whether a line ends within the spelling: the next line may have the rest."""
        end = line[-SHORTEST:]
        at = self.text.find(end)
        while at >= 0:
            if at + SHORTEST < len(self.text) and line.endswith(self.text[: at + SHORTEST]):
                return True
            at = self.text.find(end, at + 1)
        return False

    def _pattern(self) -> bytes:
        if self.hexadecimal:
            digits = [b"[%c%c]" % (each, each ^ 32) if each > 57 else b"%c" % each for each in self.text]
            pairs = [digits[at] + digits[at + 1] for at in range(0, len(digits), 2)]
            return (_SEPARATOR + _BREAK).join(pairs)
        other = {"+": "-", "/": "_"} if self._url_safe else {}
        pieces, before = [], ""
        for each, same in groupby(self._characters):
            pieces += [_break(each) if before else b"", _run(each, len(list(same)), before, other.get(each))]
            before = each
        return b"".join(pieces)


class Spellings:
    """The spellings of several values. A text that has no part of one is recognised by two searches."""

    __slots__ = ("_all", "_hexadecimal", "_plain", "_runs")

    def __init__(self, found: Iterable[Spelling]) -> None:
        """Take the spellings."""
        self._all = list(found)
        self._plain = _any_of(each.anchor for each in self._all if not each.hexadecimal)
        self._hexadecimal = _any_of(each.anchor for each in self._all if each.hexadecimal)
        self._runs = frozenset(
            each.text[at : at + SHORTEST] for each in self._all for at in range(len(each.text) - SHORTEST)
        )

    def find(self, data: bytes) -> list[tuple[int, int]]:
        """Return where spellings are in a text, in its order."""
        flat, digits = _flattened(data)
        plain, hexadecimal = self._plain.search(flat), self._hexadecimal.search(digits)
        if plain is None and hexadecimal is None:
            return []
        within = (each for each in self._all if each.anchor in (digits if each.hexadecimal else flat))
        return sorted(span for each in within for span in each.find(data))

    def may_continue(self, line: bytes) -> bool:
        """Return whether a line ends within a spelling, so that the next line may have the rest."""
        return line[-SHORTEST:] in self._runs and any(each.is_cut_by(line) for each in self._all)


def _any_of(anchors: Iterable[bytes]) -> re.Pattern[bytes]:
    """Return a pattern that finds the beginning of any anchor; one that is empty is found anywhere."""
    beginnings = sorted({each[:_LONGEST_BEGINNING] for each in anchors})
    return re.compile(b"|".join(map(re.escape, beginnings)) if beginnings else rb"(?!)")


def _flattened(data: bytes) -> tuple[bytes, bytes]:
    """Return a text without line breaks, and its hexadecimal digits without separators, in lower case."""
    flat = data
    if b"\\n" in data:
        flat = flat.replace(b"\\r", b"").replace(b"\\n", b"")
    if b"\n" in data:
        flat = flat.replace(b"\\\n", b"").translate(None, _WHITE)
    return flat, data.lower().translate(None, _IN_HEX)


def spellings(secret: str) -> list[Spelling]:
    """Return the spellings of a value, of each of its lines, and of the passwords in a connection string."""
    found: dict[bytes, Spelling] = {}
    for text in _parts(secret):
        if len(text) >= SHORTEST and text not in _NO_SECRETS:
            for each in _of(text):
                found.setdefault(each.text, each)
    return list(found.values())


def _parts(secret: str) -> Iterator[str]:
    yield secret
    if secret.strip() != secret:
        yield secret.strip()
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines)
    yield from passwords_in(secret)


def _of(text: str) -> Iterable[Spelling]:
    yield Spelling(text)
    for charset in ("utf-8", "utf-16-le"):
        raw = _bytes(text) if charset == "utf-8" else text.encode(charset, "surrogatepass")
        yield Spelling(raw.hex(), hexadecimal=True)
        for inside in _base64(raw):
            yield Spelling(inside, url_safe=True)
            if charset == "utf-8":
                for twice in _base64(inside.encode()):
                    yield Spelling(twice, url_safe=True)


def _base64(raw: bytes) -> Iterator[str]:
    """Yield the characters of base64 that depend on nothing before or after the value, at each alignment."""
    for offset, start in enumerate((0, 2, 3)):
        text = b2a_base64(b"\0" * offset + raw, newline=False)
        inside = text[start : (len(raw) + offset) * 8 // 6]
        if len(inside) >= SHORTEST:
            yield inside.decode()


def _bytes(text: str) -> bytes:
    """Return a text as bytes; what was no UTF-8 in the environment is what it was there."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _break(following: str) -> bytes:
    """Return the pattern of a line break before a character, where that is no break itself."""
    return b"" if following.isspace() else _RAW_BREAK if following == "\\" else _BREAK


def _run(character: str, count: int, before: str, other: str | None) -> bytes:
    """Return the pattern of a character, or of a run of it.

    What it takes is never given back, and no text has two readings: a search that fails must not try all of them.
    """
    if character.isascii() and character.isalnum():
        return _BREAK.join([character.encode()] * count)
    ways = _ways(character, other, b"{0,8}" if before == "\\" else b"{1,8}")
    most = 16 * count if character == "\\" else 2 * count if character in _DOUBLED else count
    once = b"(?>" + b"|".join(ways) + b")"
    return once if most == 1 else b"(?>%s(?:%s%s){%d,%d})" % (once, _RAW_BREAK, once, count - 1, most - 1)


def _any_case(digits: str) -> bytes:
    return "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in digits).encode()


def _ways(character: str, other: str | None, slashes: bytes) -> list[bytes]:
    """Return the patterns of the escapes of a character, and of itself at the end."""
    code = ord(character)
    raw = _bytes(character)
    units = character.encode("utf-16-be", "surrogatepass")
    slash = rb"\\" + slashes
    ways = [
        b"".join(slash + b"u" + _any_case(units[at : at + 2].hex()) for at in range(0, len(units), 2)),
        slash + rb"u\{0*" + _any_case(f"{code:x}") + rb"\}",
        slash + b"x" + (slash + b"x").join(_any_case(f"{byte:02x}") for byte in raw),
        b"".join(b"%%(?:25){0,3}%s" % _any_case(f"{byte:02x}") for byte in raw),
        b"".join(b"=%s" % _any_case(f"{byte:02x}") for byte in raw),
    ]
    name = _NAMED.get(character) or (_entity(code) if code > 127 else None)
    entity = b"#0*%d|#[xX]0*%s" % (code, _any_case(f"{code:x}")) + (b"|" + name.encode() if name else b"")
    ways.append(b"&(?:amp;){0,3}(?:" + entity + b");")
    if 127 < code < 256:
        ways += [slash + b"x" + _any_case(f"{code:02x}"), re.escape(bytes((code,)))]
    elif code > 0xFFFF:
        ways.append(slash + b"U" + _any_case(f"{code:08x}"))
    if character == " ":
        ways += [rb"\+", rb"\r?\n[ \t]*"]
    elif character == "\n":
        ways += [slash + b"r" + slash + b"n", b"%0[dD]%0[aA]", rb"\r?\n[ \t]*"]
    elif character == "'":
        ways += [rb"'\"'\"'", rb"'\\''"]
    if other is not None:
        ways.append(re.escape(other.encode()))
    if code < 128 and character != "\\":
        ways.append(slash + re.escape(_LETTER.get(character, character).encode()))
    return [*ways, re.escape(raw)]


def _entity(code: int) -> str | None:
    from html.entities import codepoint2name

    return codepoint2name.get(code)
