"""`dstream console` as typed: values of expressions against configuration, variables and state."""

import json

import pytest

from tests.e2e.commands import dstream
from tests.services.recorder.world import World

TEXT = """
variable "size" {
  type    = number
  default = 5
}

variable "password" {
  sensitive = true
  default   = "a\\"b"
}

locals {
  tables = ["Orders", "Customers"]
}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dstream.hcl").write_text(TEXT)
    return tmp_path


def typed(folder, text, *arguments):
    """What console says to lines on its standard input."""
    return dstream(folder, "console", *arguments, given=text)


def test_values_are_shown_as_the_language_writes_them(folder):
    ended = dstream(
        folder, "console", "-e", "local.tables", "-e", 'toset(["b", "a"])', "-e", '{ a = "x\\ny", n = 1.5 }'
    )
    assert ended.code == 0
    assert ended.out == (
        '[\n  "Orders",\n  "Customers",\n]\ntoset([\n  "a",\n  "b",\n])\n{\n  a = "x\\ny"\n  n = 1.5\n}\n'
    )


def test_json_has_all_digits_and_no_marks_of_ours(folder):
    for expression, text in (
        ("1 / 3", "0." + "3" * 154 + "5"),
        ("12345678901234567890123", "12345678901234567890123"),
        ('{ "$a" = [true, null, "é"] }', '{"$a":[true,null,"é"]}'),
        ("var.size", "5"),
    ):
        ended = dstream(folder, "console", "-json", "-e", expression)
        assert (ended.code, ended.out) == (0, f"{text}\n"), ended.said
        json.loads(ended.out)


def test_values_from_the_command_line_count(folder):
    assert dstream(folder, "console", "-var", "size=7", "-e", "var.size + 1").out == "8\n"


def test_a_secret_is_shown_only_on_purpose(folder):
    assert dstream(folder, "console", "-e", "[var.password]").out == "[\n  (sensitive value),\n]\n"
    refused = dstream(folder, "console", "-json", "-e", "var.password")
    assert refused.code == 1 and "nonsensitive" in refused.err
    assert json.loads(dstream(folder, "console", "-json", "-e", "nonsensitive(var.password)").out) == 'a"b'


def test_what_is_wrong_is_shown_with_the_place_in_the_expression(folder):
    ended = dstream(folder, "console", "-e", "upper(local.tabels)", "-e", "1 + 1")
    assert ended.code == 1 and ended.out == "2\n"
    assert "<console>:1:7" in ended.err and "upper(local.tabels)\n" in ended.err and "Did you mean tables?" in ended.err


def test_lines_are_answered_one_by_one_and_open_brackets_go_on(folder):
    ended = typed(folder, "1 + 1\n[\n  for t in local.tables :\n  lower(t)\n]\nnope\n<<-EOT\n  x\n  EOT\nexit\n3\n")
    assert ended.code == 1
    assert ended.out == '2\n[\n  "orders",\n  "customers",\n]\n"x\\n"\n'
    assert "nope is not defined here" in ended.err
    assert typed(folder, "upper(").code == 1


def test_what_was_applied_can_be_asked_for(tmp_path):
    world = World(tmp_path)
    world.apply('resource "rec_planned" "a" {\n  name = "a"\n}\n')
    ended = dstream(tmp_path, "console", "-json", "-e", "rec_planned.a.uid")
    assert (ended.code, ended.out) == (0, '"uid-of-a"\n')


def test_what_was_not_set_is_null_and_other_names_are_errors(tmp_path):
    world = World(tmp_path)
    world.apply('resource "rec_planned" "a" {\n  name = "a"\n}\n')
    ended = dstream(tmp_path, "console", "-json", "-e", "rec_planned.a.note", "-e", "rec_planned.a")
    whole = '{"labels":null,"name":"a","note":null,"size":1,"tags":[],"uid":"uid-of-a","zone":"here"}'
    assert (ended.code, ended.out) == (0, f"null\n{whole}\n"), ended.said
    ended = dstream(tmp_path, "console", "-e", "rec_planned.a.nota")
    assert ended.code == 1 and "Did you mean note?" in ended.err
    (tmp_path / "bin" / "rec").unlink()
    ended = dstream(tmp_path, "console", "-e", "rec_planned.a.uid", "-e", "rec_planned.a.note")
    assert (ended.code, ended.out) == (1, '"uid-of-a"\n')
    assert 'no attribute "note"' in ended.err and "Provider not found" in ended.err


def test_no_configuration_is_needed(tmp_path):
    assert dstream(tmp_path, "console", "-json", "-e", 'upper("é")').out == '"É"\n'
    assert list(tmp_path.iterdir()) == []
    assert "No configuration" in dstream(tmp_path, "plan").err
