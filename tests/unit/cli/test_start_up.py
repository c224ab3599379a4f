"""What the start of a command may cost: counted, not timed."""

import json
import subprocess
import sys

import pytest

_CODE = """
import gc, json, sys
gc.collect()
known = set(sys.modules)
before = sum(each["collections"] for each in gc.get_stats())
import dstream.cli
import dstream.cli.plan, dstream.cli.open_operation, dstream.engine.commands.plan
print(json.dumps([sum(each["collections"] for each in gc.get_stats()) - before, sorted(set(sys.modules) - known)]))
"""
_SLOW = {
    *(
        "argparse",
        "asyncio",
        "azure",
        "concurrent",
        "cryptography",
        "csv",
        "dataclasses",
        "deepdiff",
        "difflib",
        "email",
    ),
    *("hcl2", "http", "importlib.metadata", "jsonschema", "lark", "logging", "multiprocessing", "networkx", "pickle"),
    *("pydantic", "requests", "secrets", "socket", "ssl", "tomllib", "unittest", "xml", "yaml", "zipfile"),
}
"""Modules and packages that take milliseconds to import, and that a plan without changes does not need."""


@pytest.mark.processes
def test_a_plan_imports_nothing_slow_and_collects_no_garbage_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-I", "-c", _CODE], capture_output=True, text=True, check=True)
    collections, modules = json.loads(done.stdout)
    assert collections == 0
    assert "dstream.engine.commands.plan" in modules
    parents = {".".join(parts[:end]) for parts in (name.split(".") for name in modules) for end in (1, 2)}
    assert not parents & _SLOW
