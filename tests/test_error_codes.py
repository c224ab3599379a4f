"""Error codes: each summary has one, none changes its meaning, and messages, JSON and documentation show them."""

import itertools
import json
import re
from pathlib import Path

import pytest

from dstream.diagnostics import Diagnostic, Severity, error
from dstream.error_codes import FROM_PROVIDER, catalogue, code_of, explain
from tests import error_index
from tests.e2e.commands import dstream

ROOT = Path(__file__).resolve().parent.parent
MEANINGS = ROOT / "tests" / "golden" / "error_codes.txt"


def test_no_code_and_no_summary_occurs_twice():
    codes = [each.code for each in catalogue()]
    summaries = [each.summary for each in catalogue() if not each.retired]
    assert [each for each in codes if codes.count(each) > 1] == []
    assert [each for each in summaries if summaries.count(each) > 1] == []
    assert all(re.fullmatch(r"DS[1-9]\d{3}", each) for each in codes)


def test_the_numbers_of_a_group_have_no_gap_so_that_none_was_removed():
    numbers = [int(each.code[2:]) for each in catalogue()]
    assert numbers == sorted(numbers)
    for before, after in itertools.pairwise(numbers):
        assert after == before + 1 or after % 100 in (0, 1), (
            f"DS{before + 1} is missing: retire a code, do not remove it"
        )


def test_no_code_has_changed_its_meaning():
    kept = dict(line.split(" ", 1) for line in MEANINGS.read_text("utf-8").splitlines())
    now = {each.code: each.meaning for each in catalogue()}
    changed = {code: (meaning, now.get(code)) for code, meaning in kept.items() if now.get(code) != meaning}
    assert changed == {}, "a code keeps its meaning for good: give the new problem a new code, and retire this one"
    added = [f"{code} {meaning}" for code, meaning in now.items() if code not in kept]
    assert added == [], f"add these lines to {MEANINGS.relative_to(ROOT)}"


def test_the_page_of_codes_is_made_of_the_catalogue():
    written = error_index.PAGE.read_text("utf-8")
    assert written == error_index.page(), "run: .venv/bin/python -m tests.error_index"


def test_a_diagnostic_shows_its_code_in_text_and_json():
    found = error("Unknown variable", "There is no var.x.")
    assert found.title == "Unknown variable [DS1203]"
    assert found.to_json()["code"] == "DS1203"


def test_what_a_provider_reports_has_the_code_of_providers_even_if_it_uses_a_summary_of_ours():
    found = Diagnostic(Severity.ERROR, "Unknown variable", code=FROM_PROVIDER)
    assert found.title == f"Unknown variable [{FROM_PROVIDER}]"
    assert Diagnostic(Severity.ERROR, "Tyre is flat").title == "Tyre is flat"


def test_a_command_that_fails_names_the_code(tmp_path):
    (tmp_path / "dstream.hcl").write_text("locals {\n  a = var.missing\n}\n")
    assert "Error: Unknown variable [DS1203]" in dstream(tmp_path, "lint").err
    form = json.loads(dstream(tmp_path, "lint", "-json").out)
    assert [each["code"] for each in form["diagnostics"]] == ["DS1203"]


@pytest.mark.parametrize("spelling", ["DS1203", "ds1203", "[DS1203]"])
def test_explain_shows_what_a_code_means(tmp_path, spelling):
    ended = dstream(tmp_path, "explain", spelling)
    assert ended.code == 0
    assert ended.out.startswith("DS1203: Unknown variable\n")
    assert explain("DS1203").meaning in ended.out


def test_explain_of_no_code_says_where_codes_are_listed(tmp_path):
    ended = dstream(tmp_path, "explain", "DS0000")
    assert ended.code == 1
    assert "docs/errors.md" in ended.err


def test_looking_up_codes_is_exact():
    assert code_of("Unknown variable") == "DS1203"
    assert code_of("unknown variable") is None
