"""Module: a configuration with the values of its variables, and the scope for its expressions."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from dstream.config.blocks import Condition, Config, VariableBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.lang.confinement import Confinement
from dstream.lang.convert import convert, to_bool
from dstream.lang.expressions import evaluate
from dstream.lang.reference import references
from dstream.lang.scope import Namespace, Resources, Scope, Surroundings
from dstream.lang.typeexpr import parse_type
from dstream.lang.types import ANY, ConversionError, Type
from dstream.lang.values import Sensitive, Unknown, Value, kind, unwrap
from dstream.lang.variables import Ask, Given, collect

_UNSET = object()
_TERRAFORM = ("terraform.tfvars", "*.auto.tfvars")


class Module:
    """Variables and locals of one configuration. Safe to use from several threads."""

    def __init__(
        self,
        config: Config,
        *,
        variables: Mapping[str, Value] | None = None,
        variable_files: tuple[Path, ...] = (),
        workspace: str = "default",
        env: Mapping[str, str] | Confinement | None = None,
        ask: Ask | None = None,
        lint: bool = False,
        planned_at: str | None = None,
    ) -> None:
        """Resolve the variables; raise DiagnosticsError with everything that is wrong with them or with locals.

        `variables` are values from the command line: a string is read as the variable's type asks. `ask` is called
        for a variable without a value. With `lint`, missing variables and environment names are unknown, not errors.
        `planned_at` is the time of the plan, now if it is not given. A `Confinement` as `env`
        limits a configuration that is not trusted.
        """
        self.config = config
        self.workspace = workspace
        self._lint = lint
        self.missing: list[str] = []
        """The variables without a value, with `lint`."""
        self.warnings: list[Diagnostic] = []
        """What is odd about the given values of variables."""
        self.planned_at = planned_at or _now()
        confinement = env if isinstance(env, Confinement) else None
        allowed = env.env if isinstance(env, Confinement) else os.environ if env is None else env
        self.surroundings = Surroundings(config.root, allowed, lint, lambda: self.planned_at, confinement=confinement)
        problems: list[Diagnostic] = list(_local_cycles(config))
        given = collect(config, variables or {}, variable_files, self.surroundings, problems, self.warnings)
        self._variables: dict[str, Value] = {}
        for name, block in config.variables.items():
            try:
                self._variables[name] = self._variable(block, given.get(name), ask)
            except DiagnosticsError as wrong:
                problems.extend(wrong.diagnostics)
                self._variables[name] = Unknown()
        if not problems:
            for block in config.variables.values():
                problems.extend(self._validate(block))
        if problems:
            raise DiagnosticsError(problems)

    @property
    def variables(self) -> dict[str, Value]:
        """The values of all variables."""
        return dict(self._variables)

    def scope(self, resources: Resources | None = None, *, planning: bool = False, strict: bool = False) -> Scope:
        """Return the scope of the configuration; `resources` gives the blocks of a resource type by name.

        When `planning`, the result of an impure function such as `timestamp()` is unknown. When `strict`, a missing
        name of the environment is an error also with `lint`.
        """
        surroundings = replace(self.surroundings, planning=True) if planning else self.surroundings
        if strict:
            surroundings = replace(surroundings, unset_is_unknown=False)
        scope = Scope(
            {
                "var": Namespace("variable", lambda: list(self._variables), self._variables.__getitem__),
                "path": {"root": str(self.config.root), "module": str(self.config.root), "cwd": str(Path.cwd())},
                "dstream": {"workspace": self.workspace},
            },
            resources=resources,
            surroundings=surroundings,
        )
        return Scope({"local": _Locals(self.config, scope).namespace()}, parent=scope)

    def _variable(self, block: VariableBlock, given: Given | None, ask: Ask | None) -> Value:
        type_ = parse_type(block.type) if block.type is not None else ANY
        value: Value = _UNSET
        if given is not None:
            value = _fitting(given, type_, block, self.surroundings)
        if (value is _UNSET or (value is None and not block.nullable)) and block.default is not None:
            value = self._default(block, type_)
        if value is _UNSET and ask is not None:
            given = Given.text(ask(block), f"the value given for var.{block.name}")
            value = _fitting(given, type_, block, self.surroundings)
        if value is _UNSET:
            if not self._lint:
                raise DiagnosticsError(_missing(block, self.config.root, self.surroundings.env))
            self.missing.append(block.name)
            value = Unknown(type_)
        if value is None and not block.nullable:
            detail = f"var.{block.name} is null, and the variable is declared with nullable = false."
            raise DiagnosticsError(error("Null variable", detail, block.range))
        if not block.sensitive:
            return value
        self.surroundings.secret_texts.add(value)
        return Sensitive(value, {f"var {block.name}"})

    def _default(self, block: VariableBlock, type_: Type) -> Value:
        assert block.default is not None  # noqa: S101  # the caller has looked
        value = evaluate(block.default, Scope(surroundings=self.surroundings))
        try:
            return convert(value, type_)
        except ConversionError as wrong:
            detail = f"The default of var.{block.name} does not fit its type {type_}: {wrong.sentence()}."
            raise DiagnosticsError(error("Invalid default", detail, block.default.range)) from None

    def _validate(self, block: VariableBlock) -> list[Diagnostic]:
        problems: list[Diagnostic] = []
        for validation in block.validations:
            try:
                failed = failure(validation, self.scope())
            except DiagnosticsError as wrong:
                problems.extend(wrong.diagnostics)
                continue
            if failed is not None:
                value = self._variables[block.name]
                shown = "" if isinstance(value, Sensitive) else _shown(value)
                detail = f"{failed}\nThis was checked by the validation at {validation.range}.{shown}"
                problems.append(error("Invalid value for a variable", detail, block.range))
        return problems


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def failure(condition: Condition, scope: Scope) -> str | None:
    """Return the message of a condition that is false; None if it is true or unknown.

    Raise DiagnosticsError if the condition or the message cannot be evaluated.
    """
    value = unwrap(evaluate(condition.condition, scope))
    if isinstance(value, Unknown):
        return None
    try:
        holds: bool | None = to_bool(value)
    except ConversionError:
        holds = None
    if holds is None:
        detail = f"A condition must be true or false, and this is {kind(value)}."
        raise DiagnosticsError(error("Invalid condition", detail, condition.condition.range))
    if holds:
        return None
    message = evaluate(condition.error_message, scope)
    if isinstance(message, Sensitive):
        return "The condition is not met. (Its message is sensitive, so it is not shown.)"
    return message if isinstance(message, str) else "The condition is not met."


def _shown(value: Value) -> str:
    from dstream.lang.format_value import to_text

    text = to_text(value)
    return f" The value is {text}." if len(text) <= 80 and "\n" not in text else ""


def _fitting(given: Given, type_: Type, block: VariableBlock, surroundings: Surroundings) -> Value:
    where = given.where
    try:
        return convert(given.value(type_ if block.type is not None else None, Scope(surroundings=surroundings)), type_)
    except (ConversionError, DiagnosticsError) as wrong:
        if block.sensitive:
            detail = (
                f"{where[:1].upper()}{where[1:]} is sensitive, so it is not shown. "
                f"It does not fit the type {type_} of var.{block.name}."
            )
            raise DiagnosticsError(error("Invalid value for a variable", detail, block.range)) from None
        if isinstance(wrong, DiagnosticsError):
            raise
        detail = (
            f"{where[:1].upper()}{where[1:]} does not fit the type {type_} of var.{block.name}: {wrong.sentence()}."
        )
        raise DiagnosticsError(error("Invalid value for a variable", detail, block.range)) from None


def _missing(block: VariableBlock, root: Path, env: Mapping[str, str]) -> Diagnostic:
    what = f" ({block.description})" if block.description else ""
    detail = (
        f"var.{block.name}{what} has no default and no value. Set it with -var {block.name}=VALUE, with "
        f"-var-file FILE, in a file that ends in .auto.dsvars, or in the environment as DSTREAM_VAR_{block.name}."
    )
    if f"TF_VAR_{block.name}" in env:
        detail += f" TF_VAR_{block.name} is set, and is not read: it belongs to Terraform."
    if foreign := sorted(path.name for pattern in _TERRAFORM for path in root.glob(pattern)):
        detail += (
            f" {', '.join(foreign)} is not read: rename terraform.tfvars to dstream.dsvars, and .tfvars to .dsvars."
        )
    return error("Missing variable", detail, block.range)


class _Locals:
    """The locals of a configuration in one scope, each evaluated on first use."""

    def __init__(self, config: Config, outer: Scope) -> None:
        self._config = config
        self._outer = outer
        self._done: dict[str, Value] = {}
        self._busy = threading.local()

    def namespace(self) -> Namespace:
        return Namespace("local", lambda: list(self._config.locals), self._get)

    def _get(self, name: str) -> Value:
        if name in self._done:
            return self._done[name]
        attribute = self._config.locals[name]
        busy: list[str] = self._busy.__dict__.setdefault("names", [])
        if name in busy:
            raise DiagnosticsError(_cycle(self._config, busy[busy.index(name) :]))
        busy.append(name)
        try:
            value = evaluate(attribute.expr, Scope({"local": self.namespace()}, parent=self._outer))
        finally:
            busy.pop()
        self._done[name] = value
        return value


def _cycle(config: Config, names: list[str]) -> Diagnostic:
    path = " -> ".join(f"local.{name}" for name in [*names, names[0]])
    listed = "\n".join(f"  local.{name} at {config.locals[name].name_range}" for name in names)
    detail = (
        f"{path}\n{listed}\nEach of these needs the next, so none can be evaluated first. Remove one of the references."
    )
    return error("Locals in a cycle", detail, config.locals[names[0]].name_range)


def _local_cycles(config: Config) -> list[Diagnostic]:
    """Return an error for every cycle among locals, used or not."""
    needs = {
        name: [
            str(reference.path[0])
            for reference in references(attribute.expr)
            if reference.root == "local" and reference.path and reference.path[0] in config.locals
        ]
        for name, attribute in config.locals.items()
    }
    found: list[Diagnostic] = []
    finished: set[str] = set()
    for start in needs:
        if start in finished:
            continue
        path: list[str] = [start]
        on_path = {start}
        pending = [iter(needs[start])]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                done = path.pop()
                on_path.discard(done)
                finished.add(done)
            elif following in on_path:
                found.append(_cycle(config, path[path.index(following) :]))
            elif following not in finished:
                path.append(following)
                on_path.add(following)
                pending.append(iter(needs[following]))
    return found
