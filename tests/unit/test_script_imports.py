"""The check of imports in .ci and in the scaffold's templates finds what it is for."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
violations = runpy.run_path(str(ROOT / ".ci" / "imports.py"))["violations"]


def test_the_project_keeps_its_contracts() -> None:
    assert violations(ROOT) == []


def test_an_import_that_is_not_allowed_is_named_with_its_place(tmp_path: Path) -> None:
    template = tmp_path / "dstream/scaffold/python/in/@MODULE@__provider.py.txt"
    template.parent.mkdir(parents=True)
    template.write_text(
        "import os\nfrom @MODULE@ import other\nfrom dstream_sdk.files import AppendedFile\nimport dstream.cli\n"
    )
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/release.py").write_text("def f():\n    from dstream_sdk_other import x\n    from . import y\n")
    assert [line.partition(" is not")[0] for line in violations(tmp_path)] == [
        ".ci/release.py:2: dstream_sdk_other",
        ".ci/release.py:3: .",
        "dstream/scaffold/python/in/@MODULE@__provider.py.txt:4: dstream.cli",
    ]


def test_a_pattern_without_files_is_a_violation(tmp_path: Path) -> None:
    assert len(violations(tmp_path)) == 2
