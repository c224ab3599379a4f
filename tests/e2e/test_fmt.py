"""`dstream fmt` as typed: what it prints and writes, and how it ends, as `terraform fmt` does."""

import pytest

from tests.e2e.commands import dstream

ODD, EVEN = "a   =   1\nbb=2\n", "a  = 1\nbb = 2\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "odd.hcl").write_text(ODD)
    (tmp_path / "even.hcl").write_text(EVEN)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.dsvars").write_text("c=1\n")
    return tmp_path


def piped(folder, text, *arguments):
    return dstream(folder, "fmt", *arguments, "-", given=text)


def test_files_are_written_and_named_once(folder):
    ended = dstream(folder, "fmt")
    assert (ended.code, ended.out, (folder / "odd.hcl").read_text()) == (0, "odd.hcl\n", EVEN)
    assert dstream(folder, "fmt").said == ""
    assert (folder / "sub" / "x.dsvars").read_text() == "c=1\n"


def test_recursive_takes_the_folders_below(folder):
    assert dstream(folder, "fmt", "-recursive").out == "odd.hcl\nsub/x.dsvars\n"
    assert (folder / "sub" / "x.dsvars").read_text() == "c = 1\n"


def test_check_changes_nothing_and_ends_with_3(folder):
    ended = dstream(folder, "fmt", "-check")
    assert (ended.code, ended.out, (folder / "odd.hcl").read_text()) == (3, "odd.hcl\n", ODD)
    assert dstream(folder, "fmt", "-check", "even.hcl").code == 0


def test_diff_shows_what_changes(folder):
    ended = dstream(folder, "fmt", "-diff", "-check", "-list=false")
    assert ended.code == 3 and ended.out.startswith("--- old/odd.hcl\n+++ new/odd.hcl\n")
    assert "-a   =   1\n" in ended.out and "+a  = 1\n" in ended.out


def test_a_dash_is_the_standard_input(folder):
    assert piped(folder, ODD).out == EVEN
    ended = piped(folder, ODD, "-check")
    assert (ended.code, ended.out) == (3, "")
    assert piped(folder, EVEN, "-check").code == 0


def test_line_ends_of_windows_stay(folder):
    (folder / "odd.hcl").write_bytes(b"a   =   1\r\nbb=2\r\n")
    assert dstream(folder, "fmt").code == 0
    assert (folder / "odd.hcl").read_bytes() == b"a  = 1\r\nbb = 2\r\n"


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("missing.hcl", None, "missing.hcl does not exist"),
        ("bad.hcl", b"a = {\n", "bad.hcl:1:5"),
        ("latin.hcl", b'a = "\xe9"\n', "not in UTF-8"),
    ],
)
def test_what_cannot_be_formatted_ends_with_2_and_the_rest_is_formatted(folder, name, data, says):
    if data is not None:
        (folder / name).write_bytes(data)
    ended = dstream(folder, "fmt", name, "odd.hcl")
    assert ended.code == 2 and says in ended.err
    assert (folder / "odd.hcl").read_text() == EVEN
