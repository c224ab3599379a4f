"""Variables: collects the given values of variables in Terraform's order of precedence.

From weakest to strongest: the environment (`DSTREAM_VAR_name`), `dstream.dsvars`, `*.auto.dsvars` in the order of their
names, files named with -var-file in their order, and -var.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from dstream.config.blocks import Config, VariableBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, error, warning
from dstream.files import LARGEST_TEXT, read_file
from dstream.lang.errors import choose
from dstream.lang.expressions import evaluate
from dstream.lang.scope import Scope, Surroundings
from dstream.lang.types import ANY, Collection, ObjectType, Primitive, Type
from dstream.lang.values import Value

Ask = Callable[[VariableBlock], str]
"""Prompts the user for a variable's value."""
VARIABLE_PREFIX = "DSTREAM_VAR_"
"""What the environment variables that set a variable begin with."""


class Given(Struct, frozen=True):
    """One given value: a value of the language, or a text to parse by the variable's type."""

    known: Value
    unread: str | None
    where: str

    @classmethod
    def text(cls, text: str, where: str) -> Given:
        """Return a value given as text."""
        return cls(None, text, where)

    def value(self, type_: Type | None, scope: Scope) -> Value:
        """Return the value for a variable of a type, None if it declares none; raise DiagnosticsError.

        A text for a string, number or bool is its value; for other types it is an expression, for `any` either.
        """
        if self.unread is None:
            return self.known
        if type_ is None or (isinstance(type_, Primitive) and type_ is not ANY):
            return self.unread
        from dstream.config import parse_expression

        try:
            return evaluate(parse_expression(self.unread, self.where), scope)
        except DiagnosticsError as wrong:
            if type_ is ANY:
                return self.unread
            hint = f"A value of type {type_} is an expression, in quotation marks for the shell: '{_example(type_)}'."
            raise DiagnosticsError(
                [replace(each, detail=f"{each.detail} {hint}".lstrip()) for each in wrong.diagnostics]
            ) from None


def _example(type_: Type) -> str:
    """Return a value of a type that is not primitive, as it is given with -var."""
    if isinstance(type_, ObjectType) or (isinstance(type_, Collection) and type_.name == "map"):
        return 'NAME={a = "x", b = "y"}'
    return 'NAME=["a", "b"]'


def similar_file(path: Path) -> str:
    """Return the hint with the file of the same folder whose name is closest; an empty string if none is close."""
    import difflib

    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return f" The folder {path.parent} does not exist." if not path.parent.exists() else ""
    near = difflib.get_close_matches(path.name, names, 1)
    return f" Did you mean {path.with_name(near[0])}?" if near and near[0] != path.name else ""


def collect(
    config: Config,
    variables: Mapping[str, Value],
    files: tuple[Path, ...],
    surroundings: Surroundings,
    problems: list[Diagnostic],
    warnings: list[Diagnostic],
) -> dict[str, Given]:
    """Return the strongest value given for each variable; add the errors to `problems`, the warnings to `warnings`."""
    given: dict[str, Given] = {}
    env = surroundings.env
    for name in config.variables:
        if VARIABLE_PREFIX + name in env:
            given[name] = Given.text(env[VARIABLE_PREFIX + name], f"the environment variable {VARIABLE_PREFIX}{name}")
    for path in (*_automatic(config.root), *files):
        confinement = surroundings.confinement
        if confinement is not None and (stray := confinement.stray(path)) is not None:
            problems.append(stray)
            continue
        _read(path, config, given, problems, problems if path in files else warnings, Scope(surroundings=surroundings))
    for name, value in variables.items():
        if name not in config.variables:
            detail = (
                f'-var sets "{name}", which is not declared as a variable.{choose(name, config.variables, "variable")}'
            )
            problems.append(error("Unknown variable", detail))
        elif isinstance(value, str):
            given[name] = Given.text(value, f"the value of -var {name}")
        else:
            given[name] = Given(value, None, f"the value given for {name}")
    return given


def _automatic(root: Path) -> list[Path]:
    found = [path for path in (root / "dstream.dsvars",) if path.is_file()]
    return [*found, *sorted(root.glob("*.auto.dsvars"))]


def _read(
    path: Path,
    config: Config,
    given: dict[str, Given],
    problems: list[Diagnostic],
    undeclared: list[Diagnostic],
    scope: Scope,
) -> None:
    """Read a file of variables. Names that are not declared go to `undeclared`: as errors if that is `problems`."""
    from dstream.config import parse_text

    try:
        text = read_file(path, LARGEST_TEXT, pipe=True).decode("utf-8")
    except OSError as wrong:
        problems.append(error("Unreadable file of variables", f"{path}: {wrong.strerror}.{similar_file(path)}"))
        return
    except UnicodeDecodeError:
        problems.append(error("Unreadable file of variables", f"{path} is not in UTF-8. Save the file as UTF-8."))
        return
    parsed = parse_text(text, str(path))
    problems.extend(parsed.diagnostics)
    for block in parsed.body.blocks:
        named = block.labels[0] if block.type == "variable" and len(block.labels) == 1 else "name"
        detail = (
            f"A variable file has arguments only: {named} = value. Variables are declared in the configuration's .hcl "
            "files."
        )
        problems.append(error("Block in a file of variables", detail, block.header_range))
    for name, attribute in parsed.body.attributes.items():
        if name not in config.variables:
            detail = (
                f'The variable "{name}" is not declared.{choose(name, config.variables, "variable")} '
                f'To declare it: variable "{name}" {{}}'
            )
            if undeclared is problems:
                problems.append(error("Unknown variable", detail, attribute.name_range))
            else:
                undeclared.append(warning("Undeclared variable", detail, attribute.name_range))
            continue
        try:
            value = evaluate(attribute.expr, scope)
        except DiagnosticsError as wrong:
            problems.extend(wrong.diagnostics)
            continue
        given[name] = Given(value, None, f"the value at {attribute.name_range}")
