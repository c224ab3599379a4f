"""`dstream lint` as typed: settings against the schemas of their providers, warnings, and the JSON."""

import json

import pytest

from tests.e2e.commands import dstream
from tests.services.shebang import shebang

TASK = """
task "t" {{
  input {{
    provider = "counter"
    config {input}
  }}
  output {{
    {output}
  }}
}}
"""
CONSOLE = 'provider = "console"'


def linted(folder, text, *arguments):
    """The diagnostics of a configuration: severity, summary, detail, and what the place covers."""
    (folder / "dstream.hcl").write_text(text)
    ended = dstream(folder, "lint", "-json", *arguments)
    result = json.loads(ended.out)
    assert ended.code == (0 if result["valid"] else 1)
    return [
        (d["severity"], d["summary"], d["detail"], text[d["range"]["start"]["byte"] : d["range"]["end"]["byte"]])
        for d in result["diagnostics"]
    ]


@pytest.mark.parametrize(
    ("settings", "summary", "says", "at"),
    [
        ("{\n intervall = 5 \n}", "Unknown argument", "Did you mean interval?", "intervall"),
        ("{\n zzz = 5 \n}", "Unknown argument", "It takes: interval, max_count", "zzz"),
        ('{\n interval = "soon" \n}', "Wrong argument", '"soon" is not a whole number', '"soon"'),
        ("{\n interval = [5] \n}", "Wrong argument", "this is a list, and it takes a whole number", "[5]"),
        ("= { interval = -1 }", "Wrong argument", "-1 is less than 0", "-1"),
        ("{\n interval = local.nope \n}", "Unknown local", "There is no local.nope", "local.nope"),
        ("{\n interval = 5 \n interval = 6 \n}", "Argument set twice", "line 6", "interval"),
    ],
)
def test_settings_are_held_against_the_schema_each_at_its_place(tmp_path, settings, summary, says, at):
    [found] = linted(tmp_path, TASK.format(input=settings, output=CONSOLE))
    assert found[:2] == ("error", summary) and says in found[2] and found[3] == at


def test_a_missing_setting_is_named_with_its_other_names(tmp_path):
    text = TASK.format(input="{}", output='provider = "jsonl"\n    config {}')
    [found] = linted(tmp_path, text)
    assert found[:2] == ("error", "Missing argument") and "path (also accepted: file, filename)" in found[2]


def test_all_that_is_wrong_is_said_at_once_in_the_order_of_the_file(tmp_path):
    text = 'locals {\n  a = [local.x, "${local.y}", { b = upper() }]\n}\noutput "o" {\n  value = 1 +\n}\n'
    assert [found[1] for found in linted(tmp_path, text)] == ["Missing value"]
    text = text.replace("1 +", "local.z")
    assert [found[3] for found in linted(tmp_path, text)] == ["local.x", "local.y", "upper()", "local.z"]


def test_older_names_are_warned_about_and_work(tmp_path):
    [found] = linted(tmp_path, TASK.format(input="{\n maxCount = 5 \n}", output=CONSOLE))
    assert found == ("warning", "Deprecated name", "maxCount is an older name. Write max_count.", "maxCount")


@pytest.mark.parametrize(
    ("ref", "warned"),
    [
        ("ghcr.io/katasec/dstream-out-x", True),
        ("localhost:5000/x", True),
        ("ghcr.io/katasec/dstream-out-x:v0.1.0", False),
        ("localhost:5000/x:v1", False),
        ("ghcr.io/x@sha256:" + "0" * 64, False),
    ],
)
def test_a_reference_without_a_version_is_warned_about(tmp_path, ref, warned):
    found = linted(tmp_path, TASK.format(input="{}", output=f'provider_ref = "{ref}"'))
    assert ("Provider without a version" in [each[1] for each in found]) == warned


def test_what_nothing_uses_is_warned_about(tmp_path):
    text = (
        'variable "unused" {}\nvariable "used" {}\nlocals {\n  idle = 1\n  busy = var.used\n}\n'
        'output "o" {\n  value = local.busy\n}\n'
    )
    found = linted(tmp_path, text)
    assert [each[:2] for each in found] == [("warning", "Unused variable"), ("warning", "Unused local")]


def test_json_has_the_shape_of_terraform_validate(tmp_path):
    (tmp_path / "dstream.hcl").write_text('output "é" {\n  value = upper(5, 6)\n}\n')
    ended = dstream(tmp_path, "validate", "-json")
    assert ended.code == 1
    assert json.loads(ended.out) == {
        "format_version": "1.0",
        "valid": False,
        "error_count": 1,
        "warning_count": 0,
        "diagnostics": [
            {
                "severity": "error",
                "summary": "Too many arguments",
                "code": "DS1214",
                "detail": "upper(string) takes 1 argument, not 2.",
                "range": {
                    "filename": "dstream.hcl",
                    "start": {"line": 2, "column": 20, "byte": 32},
                    "end": {"line": 2, "column": 21, "byte": 33},
                },
                "snippet": {
                    "context": None,
                    "code": "  value = upper(5, 6)",
                    "start_line": 2,
                    "highlight_start_offset": 19,
                    "highlight_end_offset": 20,
                    "values": [],
                },
            }
        ],
    }


def test_a_valid_configuration_says_so(tmp_path):
    (tmp_path / "dstream.hcl").write_text(TASK.format(input="{\n max_count = 5 \n}", output=CONSOLE))
    ended = dstream(tmp_path, "lint")
    assert (ended.code, ended.out) == (0, "Valid. The configuration has no errors.\n")


def test_attributes_of_resources_are_those_that_their_type_has(tmp_path):
    text = (
        'resource "postgres_replication_slot" "a" {\n  name = "a"\n}\n'
        'output "good" {\n  value = "${postgres_replication_slot.a.name} ${postgres_replication_slot.a.plugin}"\n}\n'
        'output "bad" {\n  value = postgres_replication_slot.a.nam\n}\n'
    )
    provider = 'provider "postgres" {\n  config { connection_string = "host=nowhere" }\n}\n'
    found = [each for each in linted(tmp_path, text + provider) if each[0] == "error"]
    assert [each[1] for each in found] == ["Unknown attribute"], found
    assert "Did you mean name?" in found[0][2] and found[0][3] == "nam"


PATTERN_PROVIDER = """{shebang}import json, sys
if "DSTREAM_PROBE" in __import__("os").environ:
    print(json.dumps({{"protocol": 2, "provider": {{"name": "odd", "version": "0.1.0"}}, "roles": ["input"],
        "capabilities": [], "schema": {{"config": {{"type": "object", "additionalProperties": False, "properties": {{
            "name": {{"type": "string", "pattern": {pattern}}}}}}}}}}}))
"""


@pytest.mark.parametrize(
    ("pattern", "value", "found"),
    [
        (r"^\p{L}+$", "Größe", None),
        (r"^\p{L}+$", "Größe 1", r'"Größe 1" is not a text like ^\p{L}+$'),
        ("^(a+)+$", "a" * 40 + "b", "is not a text like ^(a+)+$"),
        ("([", "x", "odd: the schema of name has a pattern that is not a regular expression of RE2"),
        ("^(?!x)", "x", "odd: the schema of name has a pattern that is not a regular expression of RE2"),
        (["a"], "x", "['a'] is not a string. Report this to the authors of the provider."),
    ],
)
def test_patterns_of_a_schema_are_matched_by_re2(tmp_path, pattern, value, found):
    program = tmp_path / "odd"
    program.write_text(PATTERN_PROVIDER.format(shebang=shebang("-S"), pattern=repr(pattern)))
    program.chmod(0o755)
    text = TASK.format(input=f'{{\n name = "{value}" \n}}', output=CONSOLE).replace(
        "provider = ", "provider_path = ", 1
    )
    text = text.replace('"counter"', '"./odd"')
    errors = [each[1:3] for each in linted(tmp_path, text) if each[0] == "error"]
    if found is None:
        assert errors == []
    else:
        summary = "Wrong argument" if "is not a text like" in found else "Malformed provider description"
        assert [each[0] for each in errors] == [summary]
        assert found in errors[0][1]
