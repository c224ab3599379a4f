"""Text by others on the terminal, in Markdown and in HTML: shown, never obeyed."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from pathlib import Path

import pytest

import dstream
from dstream.cli.main import main
from dstream.cli.render import terminal
from dstream.cli.render.diagnostics import diagnostics_text
from dstream.cli.render.document import Document, Entry, Section
from dstream.cli.render.fences import code, plain
from dstream.cli.render.markdown import markdown
from dstream.cli.render.page import page
from dstream.cli.render.paint import Paint, say, say_lines
from dstream.cli.render.run_progress import Events
from dstream.cli.render.terminal import Terminal, control, put_exact, visible
from dstream.diagnostics import Position, SourceRange, error

HOSTILE = {
    "escape": "\x1b[2Jgone",
    "clipboard (OSC 52)": "\x1b]52;c;cm0gLXJm\x07",
    "title (OSC 0)": "\x1b]0;root\x1b\\",
    "C1": "\x9b2J",
    "carriage return": "error\rfine ",
    "backspace": "no\x08\x08yes",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "right to left": "\u202etxt.exe",
    "isolate": "\u2066a\u2069",
    "tag characters": "a\U000e0041b",
    "zero width": "ad\u200bmin",
    "Hangul filler": "a\u3164b",
    "half a pair": "a\ud800b",
    "null": "a\0b",
    "delete": "a\x7fb",
}
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff]")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_a_terminal_would_obey_is_shown(text):
    shown = visible(text)
    assert not UNSAFE.search(shown)
    shown.encode()
    assert "\\u" in shown
    assert visible(shown) == shown


def test_ordinary_text_stays():
    text = "Größe 10 µm, 漢字, עברית, 👩‍👩‍👧, نمی‌خواهم\n\ttab ## heading [link] a::b ::1"
    assert visible(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "##vso[task.setvariable variable=x]y",
        "log: ##VSO[task.complete]",
        "##[command]rm",
        "##teamcity[buildStop]",
        "::add-mask::x",
        "fine\n  ::set-output name=a::b",
    ],
)
def test_commands_to_a_ci_runner_are_text(text):
    shown = visible(text)
    assert not re.search(r"##\w*\[", shown)
    assert not re.search(r"^\s*::[\w-]+.*::", shown, re.MULTILINE)


@pytest.mark.parametrize("text", [*HOSTILE.values(), "##vso[a]", "::a::b", "\\\u202e"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_keeps_its_value(text, ascii_only):
    assert json.loads(visible(json.dumps({text: [text]}, ensure_ascii=ascii_only))) == {text: [text]}


def test_own_sequences_pass_and_cannot_be_copied():
    out = io.StringIO()
    Terminal(out).write(Paint(enabled=True)("\x1b[32mall is well", "red"))
    assert out.getvalue() == "\x1b[31m\\u001b[32mall is well\x1b[0m"
    assert visible("\x1b" + "0" * 16 + "[31m") == "\\u001b" + "0" * 16 + "[31m"
    assert visible(control("[31m")) == "\x1b[31m"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\x85", "\u2028"])
def test_a_name_cannot_add_a_line(newline, capsys):
    forged = f'task.x["a"]{newline}Error: none. Apply complete!'
    say(f"{forged}: Creating...")
    say_lines([forged])
    assert len(capsys.readouterr().out.splitlines()) == 2
    place = SourceRange(f"a{newline}b.hcl", Position(0, 1, 1), Position(1, 1, 2))
    text = visible(diagnostics_text([error("Bad", f"why{newline}Error: x", place, address=forged)], {}, Paint(False)))
    assert all(line[0] in "╷│╵" for line in text.splitlines())


class Flow:
    """The name of a flow, and how it delivers."""

    name, delivery, acks = "copy\n\x1b]0;x\x07", "at least once", True


@pytest.mark.parametrize("json_form", [True, False])
def test_logs_of_providers_go_through_the_border(json_form, capsys):
    events = Events(Paint(enabled=False), json=json_form, quiet=False, several=True)
    events.log(Flow, "output", "\x1b]52;c;eA==\x07\u202e##vso[x]")
    events.text(Flow, "\x1b[1mrecord")
    out, err = capsys.readouterr()
    assert not UNSAFE.search(out + err)
    assert len(err.splitlines()) == 1
    if json_form:
        assert json.loads(err)["line"] == "\x1b]52;c;eA==\x07\u202e##vso[x]"
    else:
        assert "##vso" not in err


def test_every_write_of_a_command_passes_the_border(capsys, monkeypatch, tmp_path):
    """Also what Python and click write: `main` replaces the streams."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["pl\x1b]0;x\x07an", "\u202e"])
    err = capsys.readouterr().err
    assert "Unknown command" in err
    assert not UNSAFE.search(err)
    assert isinstance(sys.stdout, Terminal)
    print("\x1b[2J")
    assert capsys.readouterr().out == "\\u001b[2J\n"


def test_passwords_of_proxies_reach_no_output(monkeypatch, capsys):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pr0xy%21pass@proxy:3128")
    terminal._proxy_redactor.cache_clear()
    try:
        Terminal(sys.stderr).write("cannot connect to http://user:pr0xy%21pass@proxy:3128 (pr0xy!pass)")
        assert (
            capsys.readouterr().err == "cannot connect to http://user:(sensitive value)@proxy:3128 ((sensitive value))"
        )
    finally:
        terminal._proxy_redactor.cache_clear()


class Screen(io.StringIO):
    """A stream that is a terminal, or is not."""

    tty = True

    def isatty(self) -> bool:
        return self.tty


@pytest.mark.parametrize("tty", [True, False])
def test_exact_output_is_exact_for_programs_only(tty, monkeypatch):
    screen = Screen()
    screen.tty = tty
    monkeypatch.setattr(sys, "stdout", Terminal(screen))
    put_exact("a\x1b[2J\r\n")
    assert screen.getvalue() == ("a\\u001b[2J\\u000d\n" if tty else "a\x1b[2J\r\n")


ADDRESS = 'task.x["@team `#1`\n\n<img src=x onerror=alert(1)>\u202e"]'
NOTES = (
    "@acme/owners see acme/other#12, GH-7 and !5",
    "&#64;team &commat;team",
    "[click](javascript:x) ![](http://x/y.png) <b>",
    "a\n\n/approve\n# Title",
)


def hostile_document() -> Document:
    entry = Entry(ADDRESS, f"was {ADDRESS}", lambda: [f"  + x = {ADDRESS}", "```", "@team"])
    return Document("1 to add", NOTES, (Section("Create", "to create", (entry,)),))


def rendered_text(text: str) -> str:
    """Return the parts of Markdown in which GitHub looks for mentions: without code, and with entities decoded."""
    text = re.sub(r"(?ms)^(`{3,})diff\n.*?^\1$", "", text)
    text = re.sub(r"<code>.*?</code>", "", text, flags=re.DOTALL)
    text = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    return text.replace("&#8203;", "\u200b").replace("&quot;", '"')


def test_markdown_mentions_no_team_and_links_to_nothing():
    text = markdown(hostile_document())
    outside = rendered_text(text)
    assert not re.search(r"(?<![A-Za-z0-9])@\w", outside)
    assert not re.search(r"#\d|GH-\d|!\d", outside.replace("&#64;", "@").replace("\\", ""))
    assert not re.search(r"(?<!\\)&(?!#8203;|lt;|gt;|quot;|amp;|#x27;)", text.replace("\u200b", ""))
    assert not re.search(r"(?<!\\)[<]img", outside)
    assert "\n/approve" not in text
    assert "\n# Title" not in text
    assert "\u202e" not in text
    summary = text[text.index("<summary>") : text.index("</summary>")]
    assert "\n" not in summary


def test_code_and_plain_text_of_a_note():
    assert code("a\rb") == "`a\\u000db`"
    assert plain("@team") == "@&#8203;team"
    assert plain("mail me@example.com, 50% off") == "mail me@example.com, 50% off"


def test_a_page_runs_no_script_and_shows_what_is_hidden():
    text = "".join(page(hostile_document()))
    assert "<img" not in text
    assert not UNSAFE.search(text)
    assert "default-src 'none'" in text


PRINTS = {"echo", "secho", "confirm", "prompt"}
BORDER = {"terminal.py"}
ELSEWHERE = {
    ("open_operation.py", "prompt"),
    ("main.py", "echo"),
    ("main.py", "stdout.fileno"),
    ("progress.py", "stderr.fileno"),
} | {("image_build.py", "stderr.write")}
"""`click` writes through `sys.stdout` too; a signal handler writes to the descriptor, and what is visible."""


def test_only_the_border_writes():
    found = set()
    for path in Path(dstream.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id == "print":
                found.add((path.name, "print"))
            if not isinstance(node.func, ast.Attribute):
                continue
            owner, name = ast.unparse(node.func.value), node.func.attr
            if owner == "click" and name in PRINTS:
                found.add((path.name, name))
            if re.fullmatch(r"sys\.(std(out|err)|__std\w+__)(\.buffer)?", owner) and name not in ("isatty", "flush"):
                found.add((path.name, f"{owner.removeprefix('sys.')}.{name}"))
    assert {each for each in found if each[0] not in BORDER} == ELSEWHERE
