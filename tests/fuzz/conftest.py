"""Files here are collected only where this folder is asked for, as `make fuzz` does: they run for long."""

from pathlib import Path

import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Take fuzz_*.py for tests if the command line names this folder or a file in it."""
    asked = any(
        Path(argument.split("::")[0]).resolve().is_relative_to(Path(__file__).parent) for argument in parent.config.args
    )
    if asked and file_path.name.startswith("fuzz_") and file_path.suffix == ".py":
        return pytest.Module.from_parent(parent, path=file_path)
    return None
