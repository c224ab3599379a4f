"""Lint: what is wrong with a configuration, found without the state and without starting a data flow.

Providers that were probed before, or that a name or path in the configuration trusts, are asked for their schemas;
arguments are checked against these. What can be known only later (unset environment, resources) is unknown here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream.config import ResourceBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity, error
from dstream.engine.blocks import provider_of
from dstream.engine.expansion import instances
from dstream.engine.inventory import provider_specs, unknown_scope
from dstream.engine.operation import DATA_DIR, Given, Operation, open_operation
from dstream.engine.outputs import output_value
from dstream.engine.providers import ProviderPool
from dstream.engine.schemas import check_arguments
from dstream.engine.wanted import evaluated
from dstream.lang import Scope, evaluate_body
from dstream.plugins import ProviderInfo


@dataclass(frozen=True, slots=True)
class LintResult:
    """What was found, and the texts of the files that it was found in."""

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
            "diagnostics": [d.to_json() for d in self.diagnostics],
        }


def lint(given: Given) -> LintResult:
    """Check a configuration; never raises for what is wrong with it."""
    try:
        operation = open_operation(given, lint=True)
    except DiagnosticsError as problem:
        return LintResult(tuple(problem.diagnostics), {})
    found: list[Diagnostic] = []
    try:
        _ = operation.graph
        found.extend(_checks(operation))
    except DiagnosticsError as problem:
        found.extend(problem.diagnostics)
    return LintResult(tuple(found), operation.config.sources)


def _checks(operation: Operation) -> list[Diagnostic]:
    specs = {spec.name: spec for spec in provider_specs(operation)}
    pool = ProviderPool(operation.root, operation.root / DATA_DIR)
    found: list[Diagnostic] = []
    known = []
    for spec in specs.values():
        try:
            pool.prepare([spec])
            known.append(spec)
        except DiagnosticsError as problem:
            found.extend(problem.diagnostics)
    for spec in known:
        schema = pool.installed(spec).info.config_schema
        if schema is not None and spec.body is not None:
            values, _ = evaluated(spec.config)
            what = f"The provider {pool.installed(spec).info.name}"
            found.extend(check_arguments(schema, values, spec.body, what, address=spec.name))
    scope = unknown_scope(operation)
    for (type_, name), block in operation.config.resources.items():
        spec = specs[f"provider.{provider_of(block)}"]
        if spec in known:
            found.extend(_resource(block, f"{type_}.{name}", pool.installed(spec).info, scope))
    found.extend(_outputs(operation, scope))
    return found


def _resource(block: ResourceBlock, address: str, info: ProviderInfo, scope: Scope) -> list[Diagnostic]:
    schema = info.resources.get(block.type)
    if schema is None:
        near = difflib.get_close_matches(block.type, list(info.resources), n=1)
        hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(sorted(info.resources)) or 'none'}."
        detail = f"The provider {info.name} has no type {block.type}. {hint}"
        return [error("Unknown resource type", detail, block.range)]
    found: list[Diagnostic] = []
    try:
        for _, names in instances(block.for_each, block.count, scope):
            values, _ = evaluated(evaluate_body(block.body, scope.bind(names)))
            found.extend(check_arguments(schema.schema, values, block.body, block.type, address=address))
            break
    except DiagnosticsError as problem:
        found.extend(d for d in problem.diagnostics if not d.summary.startswith("Unknown "))
    return found


def _outputs(operation: Operation, scope: Scope) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for block in operation.config.outputs.values():
        try:
            output_value(block, scope)
        except DiagnosticsError as problem:
            found.extend(problem.diagnostics)
    return found
