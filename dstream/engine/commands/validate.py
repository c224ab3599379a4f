"""Validate: finds errors in a configuration without the state and without starting a data flow.

Arguments are checked against the schemas of their providers (see `offline_schemas`). Values that exist only later
(environment variables that are not set, resources) are unknown here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dstream.config import Lifecycle, ResourceBlock, TaskBlock, TimeoutsBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity, warning
from dstream.engine.commands.drift_ignore import ignore_rules
from dstream.engine.commands.provider_inventory import unknown_resources
from dstream.engine.evaluate.coercion import converted_arguments
from dstream.engine.evaluate.conditions import check_triggers, failed_checks, require_conditions
from dstream.engine.evaluate.desired import split_sensitive
from dstream.engine.evaluate.expansion import lenient_instances
from dstream.engine.evaluate.output_values import output_value
from dstream.engine.evaluate.schema_validation import check_resource, check_settings
from dstream.engine.evaluate.timeouts import timeouts_of
from dstream.engine.plan.errors import unknown_type
from dstream.engine.providers.implied_type import object_type
from dstream.engine.providers.offline_schemas import OfflineSchemas
from dstream.engine.providers.provider_config import ProviderSpec, default_spec, provider_spec
from dstream.engine.providers.task_instance import task_instance
from dstream.engine.providers.trust_policy import configured_trust
from dstream.engine.setup.block_graph import provider_of, references_outside_blocks
from dstream.engine.setup.operation import Operation, OperationInputs, open_operation
from dstream.lang import Unknown, evaluate, evaluate_body
from dstream.lang.types import ANY, Collection, Type
from dstream.plugins import ProviderInfo

_UNKNOWN_NAMES = ("DS1201", "DS1202", "DS1203")
"""The codes of an unknown name, local and variable."""


class LintResult(Struct, frozen=True):
    """The diagnostics, and the texts of the files that they refer to."""

    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, str]

    @property
    def valid(self) -> bool:
        """Whether there is no error."""
        return not any(d.severity is Severity.ERROR for d in self.diagnostics)

    def to_json(self) -> dict[str, Any]:
        """Return the result in the shape of `terraform validate -json`."""
        errors = sum(d.severity is Severity.ERROR for d in self.diagnostics)
        return {
            "format_version": "1.0",
            "valid": self.valid,
            "error_count": errors,
            "warning_count": len(self.diagnostics) - errors,
            "diagnostics": [{**d.to_json(), **self._snippet(d)} for d in self.diagnostics],
        }

    def _snippet(self, diagnostic: Diagnostic) -> dict[str, Any]:
        """Return the source line of a diagnostic, as in `terraform validate -json`."""
        subject = diagnostic.subject
        lines = self.sources.get(subject.filename, "").split("\n") if subject is not None else []
        if subject is None or subject.start.line > len(lines):
            return {}
        code = lines[subject.start.line - 1].rstrip("\r")
        start = subject.start.column - 1
        end = subject.end.column - 1 if subject.end.line == subject.start.line else len(code)
        return {
            "snippet": {
                "context": None,
                "code": code,
                "start_line": subject.start.line,
                "highlight_start_offset": start,
                "highlight_end_offset": max(start, end),
                "values": [],
            }
        }


def lint(given: OperationInputs, *, start: bool | None = None) -> LintResult:
    """Check a configuration; errors in it are returned, not raised. `start` is as in `OfflineSchemas`."""
    try:
        operation = open_operation(given, lint=True)
    except DiagnosticsError as problem:
        return LintResult(tuple(problem.diagnostics), _texts(problem.diagnostics))
    try:
        configured_trust(operation.config)
        order = operation.graph.in_order()
    except DiagnosticsError as problem:
        return LintResult(tuple(problem.diagnostics), operation.config.sources)
    checks = _Checks(operation, start)
    for name in order:
        checks.block(name)
    checks.providers()
    checks.settings()
    checks.checks()
    # With a misspelt name, the intended block would be reported as unused too.
    misspelt = any(d.error_code in _UNKNOWN_NAMES for d in checks.found)
    found = (*operation.module.warnings, *checks.found, *(() if misspelt else _unused(operation)))
    return LintResult(tuple(sorted(found, key=_place)), operation.config.sources)


def _place(diagnostic: Diagnostic) -> tuple[str, int]:
    subject = diagnostic.subject
    return (subject.filename, subject.start.offset) if subject is not None else ("", 0)


def _texts(diagnostics: Iterable[Diagnostic]) -> dict[str, str]:
    """Return the texts of the files that diagnostics refer to, except unreadable ones."""
    texts: dict[str, str] = {}
    for name in {d.subject.filename for d in diagnostics if d.subject is not None}:
        with suppress(OSError, UnicodeDecodeError):
            texts[name] = Path(name).read_text("utf-8")
    return texts


class _Checks:
    """One pass over the blocks in the order of dependencies; a block that depends on an invalid one is skipped."""

    def __init__(self, operation: Operation, start: bool | None) -> None:
        self.operation = operation
        self.config = operation.config
        self.resources = unknown_resources(operation)
        self.scope = operation.module.scope(resources=self.resources)
        self.found: list[Diagnostic] = []
        self.broken: set[str] = set()
        self.specs: dict[str, ProviderSpec] = {}
        self.schemas = OfflineSchemas(operation, start)
        self.infos: dict[str, ProviderInfo | None] = {}
        self.types: dict[tuple[str, str], Type] = {}
        """The known types of a provider's objects, by provider and type name."""

    def block(self, name: str) -> None:
        """Evaluate one block as far as its values are known."""
        if any(needed in self.broken for needed in self.operation.needs[name]):
            self.broken.add(name)
            return
        kind, _, rest = name.partition(".")
        try:
            match kind:
                case "var" | "local":
                    self.scope.lookup(kind).get(rest)
                case "provider":
                    self._spec(provider_spec(self.config.providers[rest], self.scope, self.config))
                case "task":
                    self._task(self.config.tasks[rest])
                case "output":
                    output = self.config.outputs[rest]
                    require_conditions(output.preconditions, self.scope, "Precondition not met", name)
                    output_value(output, self.scope)
                case _:
                    self._resource(self.config.resources[kind, rest])
        except DiagnosticsError as problem:
            self.broken.add(name)
            self.found.extend(problem.diagnostics)

    def _spec(self, spec: ProviderSpec) -> None:
        self.specs[spec.name] = spec
        source = spec.source
        if source.kind == "ref" and "@" not in source.value and ":" not in source.value.rpartition("/")[2]:
            detail = (
                f"{source.value} names no version, so that the newest one counts, whatever it is by then. "
                f'Write one: "{source.value}:v1.2.3".'
            )
            self.found.append(warning("Provider without a version", detail, spec.range, address=spec.name))

    def _task(self, block: TaskBlock) -> None:
        for key, names in lenient_instances(block.for_each, block.count, self.scope):
            self._conditions(f"task.{block.name}", block.lifecycle, names)
            self._timeouts(block.timeouts, names)
            for side in task_instance(block, key, self.scope.bind(names), self.config).sides:
                self._spec(side.spec)

    def _resource(self, block: ResourceBlock) -> None:
        name = provider_of(block)
        if name not in self.config.providers:
            self.specs.setdefault(f"provider.{name}", default_spec(name, block, self.config))
        instances = list(lenient_instances(block.for_each, block.count, self.scope))
        type_ = self._type(f"provider.{name}", block.type)
        for _, names in instances:
            self._conditions(f"{block.type}.{block.name}", block.lifecycle, names, type_)
            self._timeouts(block.timeouts, names)
            evaluate_body(block.body, self.scope.bind(names))
        # Expressions may use those attributes that the type has, and no others.
        keyed, counted = block.for_each is not None, block.count is not None
        collection = Collection("map", type_) if keyed else Collection("list", type_) if counted else type_
        self.resources.set(block.type, block.name, None, lambda: Unknown(collection))

    def _type(self, provider: str, name: str) -> Type:
        """Return the type of a provider's objects, if it is known."""
        known = self.types.get((provider, name))
        if known is None:
            info = self._info(self.specs[provider])
            schema = info.resources.get(name) if info is not None else None
            known = object_type(schema.schema, schema.computed) if schema is not None else ANY
            self.types[provider, name] = known
        return known

    def _conditions(self, address: str, lifecycle: Lifecycle, names: Mapping[str, Any], itself: Type = ANY) -> None:
        scope = self.scope.bind(names)
        require_conditions(lifecycle.preconditions, scope, "Precondition not met", address)
        require_conditions(
            lifecycle.postconditions, scope.bind({"self": Unknown(itself)}), "Postcondition not met", address
        )

    def _timeouts(self, block: TimeoutsBlock | None, names: Mapping[str, Any]) -> None:
        """Evaluate the timeouts of a block; errors in them do not invalidate the block."""
        try:
            timeouts_of(block, self.scope.bind(names), lenient=True)
        except DiagnosticsError as problem:
            self.found.extend(each for each in problem.diagnostics if each not in self.found)

    def checks(self) -> None:
        """Evaluate checks and imports as far as their values are known."""
        self.found.extend(failed_checks(self.config, self.scope))
        for block in self.config.imports:
            try:
                for _, names in lenient_instances(block.for_each, None, self.scope):
                    evaluate(block.id, self.scope.bind(names))
            except DiagnosticsError as problem:
                self.found.extend(problem.diagnostics)

    def settings(self) -> None:
        """Evaluate the parts of the `dstream` block that concern no provider."""
        try:
            ignore_rules(self.config)
        except DiagnosticsError as problem:
            self.found.extend(problem.diagnostics)

    def providers(self) -> None:
        """Find the providers, and check the arguments against their schemas."""
        for spec in self.specs.values():
            info = self._info(spec)
            if info is not None:
                self.found.extend(check_settings(spec.config, spec.body, info, address=spec.name))
        for (type_, name), block in self.config.resources.items():
            used = self.infos.get(f"provider.{provider_of(block)}")
            if used is not None and f"{type_}.{name}" not in self.broken:
                self.found.extend(self._arguments(block, used))

    def _info(self, spec: ProviderSpec) -> ProviderInfo | None:
        """Return the probe answer of a provider; None, after a warning, if it is not available."""
        if spec.name not in self.infos:
            self.infos[spec.name] = None
            try:
                info = self.schemas.info(spec)
            except DiagnosticsError as problem:
                at = [replace(d, subject=d.subject or spec.range, address=spec.name) for d in problem.diagnostics]
                self.found.extend(at)
            else:
                if isinstance(info, Diagnostic):
                    self.found.append(info)
                else:
                    self.infos[spec.name] = info
        return self.infos[spec.name]

    def _arguments(self, block: ResourceBlock, info: ProviderInfo) -> list[Diagnostic]:
        schema = info.resources.get(block.type)
        if schema is None:
            return [unknown_type(block.type, info, block.range)]
        for _, names in lenient_instances(block.for_each, block.count, self.scope):
            check_triggers(block, self.scope.bind(names))
            given = evaluate_body(block.body, self.scope.bind(names))
            values, sensitive = split_sensitive(converted_arguments(schema.schema, given))
            found = check_resource(schema, values, sensitive, block)
            if found:
                return found
        return []


def _unused(operation: Operation) -> list[Diagnostic]:
    """Return a warning for each unused local and variable."""
    graph, config = operation.graph, operation.config
    aside = set(references_outside_blocks(config))
    found = []
    for name in graph:
        kind, _, rest = name.partition(".")
        if kind == "local" and not graph.needed_by(name) and name not in aside:
            detail = f"Nothing refers to local.{rest}. Take it out, or use it."
            found.append(warning("Unused local", detail, config.locals[rest].name_range))
        elif kind == "var" and not graph.needed_by(name) and name not in aside:
            detail = f"Nothing refers to var.{rest}. Take the block out, or use it."
            found.append(warning("Unused variable", detail, config.variables[rest].range))
    return found
