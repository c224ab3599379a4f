"""Names that a reader or a file system cannot tell apart."""

from __future__ import annotations

import pytest

from dstream.config.files import load_text
from dstream.diagnostics import DiagnosticsError

PAIRS = {
    "Cyrillic": ("copy", "\u0441\u043e\u0440\u0443"),
    "one Cyrillic letter": ("orders", "\u043erders"),
    "Greek": ("Order", "\u039frder"),
    "full width": ("copy", "\uff43opy"),
    "ligature": ("file", "\ufb01le"),
    "dotless": ("id", "\u0131d"),
}


def summaries(text: str) -> list[str]:
    try:
        load_text(text)
    except DiagnosticsError as problem:
        return [each.summary for each in problem.diagnostics]
    return []


def task(name: str) -> str:
    side = 'provider_path = "./x"'
    return f'task "{name}" {{\n  input {{\n    {side}\n  }}\n  output {{\n    {side}\n  }}\n}}\n'


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("kind", ["task", "variable", "output", "resource"])
def test_names_that_look_alike_are_refused(one: str, other: str, kind: str) -> None:
    if kind == "task":
        text = task(one) + task(other)
    elif kind == "resource":
        text = f'resource "x_y" "{one}" {{\n}}\nresource "x_y" "{other}" {{\n}}\n'
    else:
        body = "{\n}" if kind == "variable" else "{\n  value = 1\n}"
        text = f'{kind} "{one}" {body}\n{kind} "{other}" {body}\n'
    assert "Names that look alike" in summaries(text)


def test_a_name_is_one_whether_its_accents_are_composed_or_not() -> None:
    assert summaries(task("r\u00e9sum\u00e9") + task("re\u0301sume\u0301")) == ["Declared twice"]


def test_tasks_that_differ_in_case_alone_are_refused() -> None:
    """Their checkpoints would be one file on a file system without case."""
    assert summaries(task("Orders") + task("orders")) == ["Names that look alike"]
    assert summaries('output "A" {\n  value = 1\n}\noutput "a" {\n  value = 1\n}\n') == []


def test_names_of_one_script_are_names() -> None:
    assert summaries(task("\u0437\u0430\u043a\u0430\u0437\u044b") + task("\u6ce8\u6587") + task("Stra\u00dfe")) == []


def test_a_name_that_is_too_long_for_a_file_is_refused() -> None:
    assert summaries(task("a" * 200)) == []
    assert summaries(task("a" * 201)) == ["Invalid name"]
    assert summaries(task("\u6ce8" * 67)) == ["Invalid name"]
