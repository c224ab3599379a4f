"""What the operating system refuses is said in a sentence: a full disk, a denied file, an encoding without a letter."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dstream.cli.failure import diagnostics_of

TEXT = 'locals { grüße = "höher ✓" }\noutput "x" { value = local.grüße }\n'
pytestmark = pytest.mark.processes


def dstream(
    folder: Path, *args: str, out: object = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    (folder / "dstream.hcl").write_text(TEXT, "utf-8")
    return subprocess.run(
        [sys.executable, "-m", "dstream", *args],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=out,  # type: ignore[call-overload]
        stderr=subprocess.PIPE,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("args", ["plan", "plan -json", "plan -format=html", "lint", "graph", "version", "--help"])
def test_a_full_disk_under_standard_output_is_an_error_of_its_own(tmp_path: Path, args: str) -> None:
    with open("/dev/full", "wb") as full:
        ended = dstream(tmp_path, *args.split(), out=full)
    said = ended.stderr.decode()
    assert ended.returncode == 1
    assert "No space left [DS9006]" in said
    assert "bug" not in said and "Traceback" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_plan_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    ended = dstream(tmp_path, "plan", "-out=no/such/folder/release.plan")
    assert ended.returncode == 1
    assert b"bug" not in ended.stderr and b"release.plan" in ended.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != ".dstream"] == ["dstream.hcl"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_the_encoding_does_not_have_are_escaped_and_json_is_utf_8(tmp_path: Path, encoding: str) -> None:
    shown = dstream(tmp_path, "plan", PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    assert b"h\\xf6her \\u2713" in shown.stdout or b"h\xf6her \\u2713" in shown.stdout
    form = dstream(tmp_path, "plan", "-json", PYTHONIOENCODING=encoding)
    assert json.loads(form.stdout.decode("utf-8"))["output_changes"]["x"]["after"] == "höher ✓"


@pytest.mark.parametrize(
    ("problem", "summary"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "state.json"), "No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "x.plan"), "Access denied by the system"),
        (OSError(errno.EROFS, "Read-only file system", "x.plan"), "Access denied by the system"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Out of memory"),
        (MemoryError(), "Out of memory"),
        (OSError(errno.EIO, "Input/output error"), "System error"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x.plan"), "Cannot use a file"),
    ],
)
def test_no_refusal_of_the_system_is_called_a_bug(problem: Exception, summary: str) -> None:
    (found,) = diagnostics_of(problem)
    assert found.summary == summary
    assert "bug" not in found.detail
