"""No sensitive value gets through, in whatever form and however it is cut."""

import html
import json
import quopri
import re
import shlex
import textwrap
from base64 import b64encode, encodebytes, urlsafe_b64encode
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape as xml_escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstream.plugins.redact import MASK, RedactedLines, Redactor, Tail

SECRET = 'p@ss "word"\\ö/1'


def go(text: str) -> str:
    """As Go's encoding/json writes a string; it does the same with `<`, `>`."""
    return json.dumps(text).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def net(text: str) -> str:
    """As .NET's System.Text.Json writes a string."""
    return go(text).replace("'", "\\u0027").replace("+", "\\u002B").replace('\\"', "\\u0022").replace("`", "\\u0060")


ENCODERS = {
    "as it is": str,
    "json": json.dumps,
    "json, not only ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json in json": lambda text: json.dumps(json.dumps(json.dumps({"a": text}))),
    "go": go,
    "go in json": lambda text: json.dumps(go(text)),
    ".net": net,
    "php": lambda text: json.dumps(text).replace("/", "\\/"),
    "percent": lambda text: quote(text, safe=""),
    "percent, other safe set": lambda text: quote(text, safe="@&'<>"),
    "percent, lower case": lambda text: re.sub("%..", lambda each: each[0].lower(), quote(text, safe="")),
    "percent, form": quote_plus,
    "percent, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "repr": repr,
    "ascii": ascii,
    "repr of bytes": lambda text: repr(text.encode()),
    "repr in json": lambda text: json.dumps({"error": repr(text)}),
    "sql": lambda text: text.replace("'", "''"),
    "odbc": lambda text: "{" + text.replace("}", "}}") + "}",
    "html": html.escape,
    "html, twice": lambda text: html.escape(html.escape(text)),
    "html, decimal": lambda text: "".join(each if each.isalnum() else f"&#{ord(each)};" for each in text),
    "html, hexadecimal": lambda text: "".join(each if each.isalnum() else f"&#X{ord(each):04X};" for each in text),
    "xml": lambda text: xml_escape(text, {'"': "&quot;", "'": "&apos;"}),
    "shell": shlex.quote,
    "quoted-printable": lambda text: quopri.encodestring(text.encode(), quotetabs=True).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, upper case": lambda text: text.encode().hex().upper(),
    "hexadecimal, colons": lambda text: text.encode().hex(":"),
    "hexadecimal, escapes": lambda text: "".join(f"\\x{each:02x}" for each in text.encode()),
    "hexadecimal, UTF-16": lambda text: text.encode("utf-16-le").hex(),
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64url, no padding": lambda text: urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in .net": lambda text: net(b64encode(text.encode()).decode()),
    "base64 in percent": lambda text: quote(b64encode(text.encode()).decode(), safe=""),
    "base64, twice": lambda text: b64encode(b64encode(text.encode())).decode(),
    "base64, twice, inside": lambda text: b64encode(b"ab" + b64encode(b"user:" + text.encode() + b":x")).decode(),
    "base64, UTF-16": lambda text: b64encode(("-p " + text).encode("utf-16-le")).decode(),
    "base64, MIME": lambda text: encodebytes((("x" * 55) + text).encode()).decode(),
    "wrapped": lambda text: "\n    ".join(textwrap.wrap(text, 5, drop_whitespace=False)),
    "yaml, folded": lambda text: text[:6] + "\\\n  " + text[6:] if text[6:7] != " " else text,
}


@pytest.mark.parametrize(
    "secret", [SECRET, "s3cr3t<&>+'key`{x}$%", "Grüße, 日本語 👋 'x'", "a\\\\b''c\n'"], ids=range(4)
)
@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_each_spelling_of_a_value_is_found(encode, secret):
    """Nothing of the value is left but what base64 mixes with what is around it, four characters at each end."""
    form = encode(secret)
    shown = Redactor([secret]).text(f"before {form} after")
    assert MASK in shown
    rest = "".join(shown.split("before ", 1)[1].rsplit(" after", 1)[0].split(MASK))
    assert len(rest) <= len(encode("")) + 12


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n    "])
def test_a_value_broken_over_two_lines_of_a_stream_is_found(cut, end):
    shown: list[str] = []
    lines = RedactedLines(Redactor([SECRET]), shown.append)
    lines.feed(f"first {SECRET[:cut]}{end}{SECRET[cut:]} last\n".encode())
    lines.close()
    assert MASK in "\n".join(shown)
    assert SECRET[cut:] not in "\n".join(shown) or len(SECRET[cut:]) < 4
    assert SECRET[:cut] not in "\n".join(shown) or cut < 4


def test_a_value_in_lines_of_base64_is_found():
    shown: list[str] = []
    lines = RedactedLines(Redactor(["k" * 20 + SECRET * 8]), shown.append)
    form = encodebytes(b"user:" + b"k" * 20 + SECRET.encode() * 8).decode()
    for line in ["before", *form.splitlines(), "after"]:
        lines.feed(f"{line}\n".encode())
    assert shown[0] == "before"
    assert shown[-1] == "after"
    assert len("".join(shown)) < 60


def test_a_line_that_only_looks_like_a_beginning_is_shown_with_the_next():
    shown: list[str] = []
    lines = RedactedLines(Redactor(["password1234"]), shown.append)
    lines.feed(b"wrong password\nagain\n")
    assert shown == ["wrong password", "again"]
    lines.feed(b"wrong password")
    lines.close()
    assert shown[2:] == ["wrong password"]


@pytest.mark.parametrize("short", ["", "a", "1", "abc", "true", "null"])
def test_a_very_short_value_does_not_take_other_text_with_it(short):
    text = "a table, abc: 1 of 100 is true, none is null"
    assert Redactor([short]).text(text) == text
    key = f"-----BEGIN-----\n{short}\nMIIEabcdef\n"
    assert Redactor([key]).text(text) == text


def test_passwords_of_proxies_are_known(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://user:p%40ss-w0rd@proxy:3128")
    monkeypatch.setenv("ALL_PROXY", "user:0ther-pass@proxy")
    shown = Redactor().text("cannot connect to http://user:p%40ss-w0rd@proxy:3128, p@ss-w0rd, 0ther-pass")
    assert shown == f"cannot connect to http://user:{MASK}@proxy:3128, {MASK}, {MASK}"


@pytest.mark.parametrize("run", ["\\", "'", "=", "-", " ", "%"])
def test_a_run_of_one_character_costs_no_search_without_end(run):
    secret = run * 40 + "end"
    assert MASK in Redactor([secret]).text(f"x{secret}")
    Redactor([secret]).text("end " + run * 800 + "ens")
    Redactor([run * 40 + "'\\" * 20]).text(run * 800 + "'\\" * 200)


def test_a_text_that_has_no_part_of_a_value_compiles_nothing():
    redactor = Redactor([SECRET, "another-secret"])
    assert redactor.text("2 records of orders were written\n" * 20).startswith("2 records")
    assert not any(each._made for each in redactor._made._all)


@pytest.mark.parametrize("user", ["", "a", "ab", "abc", "somebody"])
def test_a_value_inside_a_longer_base64_text_is_known(user):
    text = b64encode(f"{user}:{SECRET}:x".encode()).decode()
    shown = Redactor([SECRET]).text(f"Authorization: Basic {text}")
    core = b64encode(SECRET.encode())[4:-4].decode()
    assert MASK in shown
    assert core not in shown


def test_a_value_of_several_lines_is_known_line_by_line():
    shown = Redactor(["-----BEGIN-----\nMIIEabcdef\nghijkl\n-----END-----"]).text("key: MIIEabcdef and ghijkl")
    assert shown == f"key: {MASK} and {MASK}"


def test_nothing_is_changed_without_secrets():
    assert Redactor(["", ""]).text("text (with) everything.*") == "text (with) everything.*"


@given(st.lists(st.integers(1, 40)), st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=4))
def test_a_value_across_chunks_is_found(cuts, noise):
    secret = "s3cr3t-" + "x" * 20
    stream = f"{noise} {secret} {noise}\n{secret}\n tail {secret}".encode()
    shown: list[str] = []
    lines = RedactedLines(Redactor([secret]), shown.append)
    at = 0
    for cut in cuts:
        lines.feed(stream[at : at + cut])
        at += cut
    lines.feed(stream[at:])
    lines.close()
    assert secret not in "\n".join(shown)
    assert "\n".join(shown).count(MASK) >= 3


def test_a_value_across_the_pieces_of_an_endless_line_is_found():
    secret = "0123456789abcdef"
    shown: list[str] = []
    lines = RedactedLines(Redactor([secret, "abcdefgh"]), shown.append)
    for at in range(64 * 1024 - 20, 64 * 1024 + 20):
        lines.feed(b"." * (at - 8) + secret[:8].encode())
        lines.feed(secret[8:].encode() + b"." * 70_000)
    lines.close()
    assert secret[8:] not in "".join(shown)
    assert secret[:8] not in "".join(shown)


def test_the_tail_keeps_the_last_lines_only():
    tail = Tail()
    for number in range(1000):
        tail.add(f"line {number}")
    assert str(tail).splitlines()[-1] == "line 999"
    assert len(str(tail).splitlines()) == 20
    tail.add("x" * 100_000)
    assert len(str(tail)) <= 8 * 1024 + 200
