"""The parser's table comes from python-hcl2's grammar, and is kept where that is possible."""

import hashlib
import subprocess
import sys

import pytest

from dstream.config.syntax import grammar

KNOWN = "856e0a0a416400a68630c3a7bb2af92592394c992eb0e728f3b930c27a73aa78"


def test_the_base_grammar_is_the_one_that_ours_was_written_for():
    found = hashlib.sha256(grammar.base_grammar().read_bytes()).hexdigest()
    assert found == KNOWN, "python-hcl2's grammar has changed: compare hcl.lark with it, then renew this hash"


@pytest.fixture(scope="module")
def made():
    """The table, made from the grammar once: that takes a second or two."""
    return grammar._make()


@pytest.fixture
def makes(made, monkeypatch):
    """The list of times that the table is made anew, with the table at hand."""
    times = []
    monkeypatch.setattr(grammar, "_make", lambda: times.append(1) or made)
    grammar.table.cache_clear()
    yield times
    grammar.table.cache_clear()


def test_a_table_that_was_kept_equals_the_one_that_was_made(made, tmp_path):
    grammar._write(tmp_path / "x.table", made)
    assert grammar._read(tmp_path / "x.table") == made


def test_a_damaged_table_is_made_anew(makes, tmp_path, monkeypatch):
    monkeypatch.setattr(grammar, "_cache_folder", lambda: tmp_path)
    grammar.table()
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"damaged")
    grammar.table.cache_clear()
    assert grammar.table().rules
    assert len(makes) == 2
    assert grammar._read(kept) is not None


def test_a_folder_that_cannot_be_written_is_no_error(makes, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(grammar, "_cache_folder", lambda: tmp_path / "file" / "folder")
    assert grammar.table().rules
    assert len(makes) == 1


@pytest.mark.processes
def test_importing_the_types_imports_neither_lark_nor_the_parser():
    code = (
        "import sys, dstream.config, dstream.lang; from dstream.config import Config, Expr; "
        "print([m for m in ('lark', 'hcl2', 'yaml', 'dstream.config.syntax.parser') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.processes
def test_reading_a_configuration_with_a_kept_table_imports_no_lark(tmp_path):
    code = (
        "import sys; from dstream.config import parse_text; parse_text('a = 1', 'x'); parse_text('b = 1', 'x'); "
        "print('lark' in sys.modules)"
    )
    environment = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}
    first = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert (first.stdout.strip(), again.stdout.strip()) == ("True", "False")
