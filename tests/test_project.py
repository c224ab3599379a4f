"""The project as a whole: one version, a lock file in step with the packages' metadata."""

import difflib
import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import dstream
from dstream.error_codes import FROM_PROVIDER, catalogue
from tests import summaries

ROOT = Path(__file__).resolve().parent.parent


def _load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lock, raise_floor = _load("lock"), _load("raise_floor")


def test_every_direct_requirement_is_pinned_in_the_lock_file():
    pinned = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {lock.requirement_name(one) for one in lock.requirements(ROOT)} <= pinned, "run `make lock`"


def test_every_pinned_package_has_hashes_and_no_index_is_named():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [one for one in entries if "--hash=sha256:" not in one] == []
    assert "://" not in text


@pytest.mark.parametrize("path", lock.metadata_files(ROOT), ids=lambda path: path.parent.name)
def test_each_package_takes_its_version_from_the_one_place(path):
    metadata = tomllib.loads(path.read_text())
    assert "version" in metadata["project"]["dynamic"]
    source = path.parent / metadata["tool"]["hatch"]["version"]["path"]
    assert source.resolve() == Path(dstream.__file__).resolve()


def test_the_wheel_has_everything_that_the_engine_needs_and_nothing_of_the_tests(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    tops = {name.split("/")[0] for name in names}
    assert tops == {"dstream", "dstream_state"}
    sources = {
        str(path.relative_to(base))
        for base in (ROOT, ROOT / "state")
        for folder in tops
        for path in (base / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= names


def test_every_summary_is_a_constant_with_a_code():
    """A summary is reworded in the code and in the catalogue together, and keeps its number."""
    known = {each.summary: each.code for each in catalogue() if not each.retired}
    files = [
        path
        for folder in ("dstream", "state/dstream_state")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name != "error_codes.py"
    ]
    found = list(summaries.uses(files, ROOT))
    assert len(found) > 200  # what finds them still does
    varying = [
        f"{use.place}: {use.source} is not a constant; put what varies into the detail" for use in found if not use.text
    ]
    assert varying == []
    used = {use.text: use.place for use in found}
    unused = {summary: code for summary, code in known.items() if summary not in used and code != FROM_PROVIDER}
    problems = []
    for text, place in used.items():
        if text not in known:
            near = difflib.get_close_matches(text, unused, n=1, cutoff=0.3)
            hint = f"reworded from {near[0]!r}? Then change the text of {unused[near[0]]}. " if near else ""
            problems.append(f"{place}: {text!r} is not in dstream/error_codes.txt. {hint}If it is new, add a code.")
    problems += [
        f"{code} {summary!r} is used nowhere: change its text, or retire it" for summary, code in unused.items()
    ]
    assert problems == []


def test_the_changelog_speaks_of_the_current_version():
    assert f"## {dstream.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("floor", "measured", "after"), [(70, 71.99, 71), (70, 70.5, 70), (71, 70.5, 71), (0, 100.0, 100)]
)
def test_the_floor_of_the_coverage_only_rises(floor, measured, after):
    text = "[tool.coverage.report]\nfail_under = {}\nskip_covered = true\n"
    assert raise_floor.raised(text.format(floor), measured) == text.format(after)


def test_the_floor_of_the_coverage_is_where_it_is_raised():
    text = (ROOT / "pyproject.toml").read_text()
    assert tomllib.loads(text)["tool"]["coverage"]["report"]["fail_under"] == int(raise_floor.FLOOR.search(text)[1])
