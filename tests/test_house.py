"""The house: no import circles, no file, class or function that outgrows what a reader can hold in mind."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {"dstream": ROOT, "dstream_state": ROOT / "state", "dstream_sdk": ROOT / "providers" / "sdk"} | {
    path.name: path.parent for path in (ROOT / "providers").glob("*/dstream_*") if path.is_dir()
}
LINES, ATTRIBUTES, PARAMETERS = 400, 20, 8

MANY_ATTRIBUTES = {"OutputSettings", "InputSettings"}
"""Settings of a provider: each attribute is an argument that users write, and flat, as the older project has it."""

MANY_PARAMETERS = {"dstream_sdk.testing.roles.__init__"}
"""By full name. In the kit for tests of providers each parameter is a setting of the session, given by keyword."""


@functools.cache
def modules() -> dict[str, Path]:
    found = {}
    for package, folder in SOURCES.items():
        for path in (folder / package).rglob("*.py"):
            if "tests" not in path.parts:
                name = ".".join(path.relative_to(folder).with_suffix("").parts)
                found[name.removesuffix(".__init__")] = path
    return found


def imports(name: str, path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    packages = {name.rpartition(".")[0]} if path.name != "__init__.py" else {name}
    return (found & modules().keys()) - {name} - packages


def test_no_modules_import_each_other():
    """Imports within functions and for type checkers count. A package's face may name its modules, and the reverse."""
    graph = networkx.DiGraph()
    for name, path in modules().items():
        if path.name != "__init__.py":
            graph.add_edges_from(
                (name, other) for other in imports(name, path) if modules()[other].name != "__init__.py"
            )
    circles = [sorted(group) for group in networkx.strongly_connected_components(graph) if len(group) > 1]
    assert circles == []


@pytest.mark.parametrize("top", ["dstream", "state", "providers", "benchmarks", "tests"])
def test_no_file_is_longer_than_a_reader_can_hold_in_mind(top):
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / top).rglob("*.py")}
    assert {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > LINES} == {}
    middle = sorted(lengths.values())[len(lengths) // 2]
    assert middle <= 130


def test_no_class_has_too_many_attributes():
    found = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name not in MANY_ATTRIBUTES:
                own = {
                    inner.attr
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Attribute)
                    and isinstance(inner.ctx, ast.Store)
                    and isinstance(inner.value, ast.Name)
                    and inner.value.id == "self"
                } | {
                    inner.target.id
                    for inner in node.body
                    if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name)
                }
                found[f"{name}.{node.name}"] = len(own)
    assert {name: count for name, count in found.items() if count > ATTRIBUTES} == {}


def test_no_function_has_too_many_parameters():
    found = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "command"
            ):  # by click, one for each option
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = len([each for each in every if each.arg not in ("self", "cls")])
                found[f"{name}.{node.name}"] = max(count, found.get(f"{name}.{node.name}", 0))
    assert {name for name, count in found.items() if count > PARAMETERS} == MANY_PARAMETERS


@pytest.mark.parametrize("package", ["dstream", "state/dstream_state"])
def test_what_a_plan_imports_makes_no_dataclasses(package):
    """One of them costs as much at import as thirty msgspec structs: a hundred were half of a plan's start-up."""
    scaffold = ROOT / "dstream/scaffold"  # what it writes for others has nothing but the SDK
    files = [path for path in (ROOT / package).rglob("*.py") if scaffold not in path.parents]
    found = [
        path
        for path in files
        if "from dataclasses" in (text := path.read_text("utf-8")) or re.search(r"@dataclass\b", text)
    ]
    assert [str(path.relative_to(ROOT)) for path in found] == []
