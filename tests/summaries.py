"""Every summary of a diagnostic in the sources, found in their syntax trees.

A summary gets into a diagnostic through a parameter or a field called `summary`. So every function, class and method
that takes one is found first; then each call of them has to pass a constant, or pass on a `summary` that it was given.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Use:
    """One place that states a summary; `text` is None where it is not a constant."""

    place: str
    text: str | None
    source: str


def uses(files: Iterable[Path], root: Path) -> Iterator[Use]:
    """Yield the summaries in these files, with `file:line`."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in files}
    functions: dict[tuple[str, str], int] = {}
    methods: dict[tuple[str, str], int] = {}
    bases: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {each.id for each in node.bases if isinstance(each, ast.Name)}
                for name, at in _of_class(node):
                    if name == "__init__":
                        functions[path.stem, node.name] = at
                    else:
                        methods[path.parts[-2], name] = at
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and (at := _position(node)) is not None:
                functions[path.stem, node.name] = at
    _inherit(functions, bases)
    for path, tree in trees.items():
        shown = str(path.relative_to(root))
        yield from _class_summaries(tree, shown)
        yield from _Calls(shown, _Scope(path.stem, tree, functions), methods).of(tree)


def _inherit(functions: dict[tuple[str, str], int], bases: dict[str, set[str]]) -> None:
    """Let a class without an `__init__` of its own take what its base takes."""
    known = {name: at for (_, name), at in functions.items() if name in bases}
    grown = True
    while grown:
        grown = False
        for name, over in bases.items():
            found = next((known[each] for each in over if each in known), None)
            if name not in known and found is not None:
                known[name], grown = found, True
    functions.update({("", name): at for name, at in known.items()})


def _of_class(node: ast.ClassDef) -> Iterator[tuple[str, int]]:
    """Yield the methods of a class that take a summary, and the position of it; for a dataclass its `__init__`."""
    fields = [
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    ]
    if "summary" in fields:
        yield "__init__", fields.index("summary")
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and (at := _position(each)) is not None:
            yield each.name, at


def _position(function: ast.FunctionDef) -> int | None:
    """The position of the parameter `summary`, not counting `self`; -1 if it is given by name only."""
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    if "summary" in names:
        return names.index("summary")
    return -1 if "summary" in [each.arg for each in function.args.kwonlyargs] else None


def _class_summaries(tree: ast.AST, shown: str) -> Iterator[Use]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                targets = (
                    [t.id for t in each.targets if isinstance(t, ast.Name)] if isinstance(each, ast.Assign) else []
                )
                if "summary" in targets and isinstance(each, ast.Assign):
                    for text in _texts(each.value):
                        yield Use(f"{shown}:{each.lineno}", text, ast.unparse(each.value))


def _texts(value: ast.expr) -> Iterator[str | None]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body)
        yield from _texts(value.orelse)
    else:
        yield None


class _Scope:
    """What the names of one file mean: defined in it, or imported from a module."""

    def __init__(self, module: str, tree: ast.AST, functions: dict[tuple[str, str], int]) -> None:
        self.module, self.functions = module, functions
        self.imported: dict[str, tuple[str, str]] = {}
        self.defined = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.ClassDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for each in node.names:
                    self.imported[each.asname or each.name] = ((node.module or "").rpartition(".")[2], each.name)

    def position(self, name: str) -> int | None:
        """Where a call of this name takes a summary; None if it takes none."""
        if name in self.defined:
            return self.functions.get((self.module, name), self.functions.get(("", name)))
        module, original = self.imported.get(name, (self.module, name))
        found = self.functions.get((module, original))
        return found if found is not None else self.functions.get(("", original))


class _Calls(ast.NodeVisitor):
    """Finds the calls with a summary in one file."""

    def __init__(self, shown: str, scope: _Scope, methods: dict[tuple[str, str], int]) -> None:
        self.shown, self.scope, self.methods = shown, scope, methods
        self.folder = shown.split("/")[-2]
        self.found: list[Use] = []
        self.given: list[bool] = []
        self.unpacks = False

    def of(self, tree: ast.AST) -> list[Use]:
        """Return what is found in this tree."""
        self.unpacks = any(_unpacks(each) for each in ast.walk(tree) if isinstance(each, ast.FunctionDef))
        self.visit(tree)
        return self.found

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Remember what an enclosing function is given, and where it unpacks a summary from."""
        arguments = {each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
        self.given.append("summary" in arguments or _unpacks(node))
        self.generic_visit(node)
        self.given.pop()
        if self.unpacks and ast.unparse(node.returns or ast.Constant(None)) == "tuple[str, str]":
            for each in ast.walk(node):
                if isinstance(each, ast.Return) and isinstance(each.value, ast.Tuple):
                    for text in _texts(each.value.elts[0]):
                        self.found.append(Use(f"{self.shown}:{each.lineno}", text, ast.unparse(each.value.elts[0])))

    def visit_Call(self, node: ast.Call) -> None:
        """Look at one call."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Name):
            at = self.scope.position(node.func.id)
        elif isinstance(node.func, ast.Attribute):
            at = self.methods.get((self.folder, node.func.attr))
        else:
            return
        if at is None:
            return
        value = next((each.value for each in node.keywords if each.arg == "summary"), None)
        if value is None and 0 <= at < len(node.args):
            value = node.args[at]
        if value is None or _passed_on(value) or any(each.arg == "code" for each in node.keywords):
            return
        if isinstance(value, ast.Name) and value.id == "summary" and any(self.given):
            return
        for text in _texts(value):
            self.found.append(Use(f"{self.shown}:{value.lineno}", text, ast.unparse(value)))


def _passed_on(value: ast.expr) -> bool:
    """Tell whether a summary is passed on as it was given: `problem.summary`, `form["summary"]`."""
    return (isinstance(value, ast.Attribute) and value.attr == "summary") or (
        isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant) and value.slice.value == "summary"
    )


def _unpacks(function: ast.FunctionDef) -> bool:
    """Tell whether a function has `summary, detail = f(...)`: what the file's functions return is looked at instead."""
    return any(
        isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Tuple)
        and isinstance(each.value, ast.Call)
        and [t.id for t in each.targets[0].elts if isinstance(t, ast.Name)][:2] == ["summary", "detail"]
        for each in ast.walk(function)
    )
