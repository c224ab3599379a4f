"""No sensitive value gets through, in whatever form and however it is cut."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstream.plugins.redact import MASK, RedactedLines, Redactor, Tail

SECRET = 'p@ss "word"\\ö/1'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps({"a": SECRET}))[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        quote(SECRET, safe=""),
    ],
)
def test_each_form_of_a_value_is_known(form):
    shown = Redactor([SECRET]).text(f"before {form} after")
    assert form not in shown
    assert MASK in shown


@pytest.mark.parametrize("user", ["", "a", "ab", "abc", "somebody"])
def test_a_value_inside_a_longer_base64_text_is_known(user):
    text = base64.b64encode(f"{user}:{SECRET}:x".encode()).decode()
    shown = Redactor([SECRET]).text(f"Authorization: Basic {text}")
    core = base64.b64encode(SECRET.encode())[4:-4].decode()
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
