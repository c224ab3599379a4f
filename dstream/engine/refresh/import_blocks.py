"""Imports: existing objects to add to the state, from `import` blocks or the command."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from typing import Any

from msgspec import Struct

from dstream.addresses import parse_address
from dstream.config import Expr, ImportBlock
from dstream.config.syntax.tree import GetAttr, Index, Variable
from dstream.diagnostics import Diagnostic, DiagnosticsError, SourceRange, error
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.expansion import instances
from dstream.engine.evaluate.redaction import redact
from dstream.engine.evaluate.targeting import block_of_text
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.engine.setup.block_graph import imported_block
from dstream.lang import Scope, contains_unknown, evaluate, sensitive_paths, to_json_value
from dstream.lang.markers import WITHHELD
from dstream_state import ObjectState


class ImportTarget(Struct, frozen=True):
    """One object that an `import` block, or the command, names."""

    address: str
    identity: Any
    range: SourceRange | None = None


class ImportTargets:
    """The imports by target block, each evaluated when its block is planned.

    So an id can refer to other resources.
    """

    def __init__(self, blocks: Iterable[ImportBlock], given: Mapping[str, Any], scope: Scope) -> None:
        """Take the `import` blocks, and the identities `given` to the command by address."""
        self._scope = scope
        self._blocks: dict[str, list[ImportBlock]] = {}
        for block in blocks:
            self._blocks.setdefault(imported_block(block), []).append(block)
        self._given: dict[str, dict[str, ImportTarget]] = {}
        for address, identity in given.items():
            self._given.setdefault(block_of_text(address), {})[address] = ImportTarget(address, identity)
        self._found: dict[str, dict[str, ImportTarget]] = {}

    def of(self, block: str) -> Mapping[str, ImportTarget]:
        """Return the imports to a block by address; raise DiagnosticsError with all errors in them."""
        found = self._found.get(block)
        if found is None:
            found = {**import_targets(self._blocks.get(block, ()), self._scope), **self._given.get(block, {})}
            self._found[block] = found
        return found

    def blocks(self) -> Set[str]:
        """Return the names of the target blocks, including undeclared ones."""
        return {*self._blocks, *self._given}


def import_targets(blocks: Iterable[ImportBlock], scope: Scope) -> dict[str, ImportTarget]:
    """Return the targets of `import` blocks by address; raise DiagnosticsError with all errors."""
    found: dict[str, ImportTarget] = {}
    problems: list[Diagnostic] = []
    for block in blocks:
        try:
            for _, names in instances(block.for_each, None, scope):
                each = _import_target(block, scope.bind(names))
                if each.address in found:
                    detail = f"{each.address} is imported by another block already, at {found[each.address].range}."
                    raise DiagnosticsError(error("Imported twice", detail, block.range))
                found[each.address] = each
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return found


def _import_target(block: ImportBlock, scope: Scope) -> ImportTarget:
    try:
        address = str(parse_address(_address_text(block.to, scope)))
    except ValueError as problem:
        raise DiagnosticsError(error("Wrong address", f"{problem}", block.to.range)) from None
    value = evaluate(block.id, scope)
    if contains_unknown(value) or sensitive_paths(value) or value is None:
        detail = "The id of an import is known at plan, and no secret. If it is none: nonsensitive(...)."
        raise DiagnosticsError(error("Wrong import id", detail, block.id.range))
    return ImportTarget(address, to_json_value(value), block.range)


def _address_text(expr: Expr, scope: Scope) -> str:
    """Return an address as text with its keys evaluated, such as that of `rec.a[each.key]`."""
    if isinstance(expr, Variable):
        return expr.name
    if isinstance(expr, GetAttr):
        return f"{_address_text(expr.value, scope)}.{expr.name}"
    if isinstance(expr, Index):
        key = evaluate(expr.key, scope)
        if isinstance(key, int) and not isinstance(key, bool):
            return f"{_address_text(expr.value, scope)}[{key}]"
        if isinstance(key, str):
            return f"{_address_text(expr.value, scope)}[{json.dumps(key, ensure_ascii=False)}]"
        raise DiagnosticsError(error("Wrong address", "A key is a text or a number that is known.", expr.key.range))
    raise DiagnosticsError(error("Wrong address", f"{expr.text} is not an address.", expr.range))


def full_identity(given: Any, rules: ResourceTypeRules) -> Any:
    """Return an identity as an object: a single value is that of its only attribute."""
    if isinstance(given, Mapping):
        return dict(given)
    names = rules.identity_attributes or ("id",)
    if len(names) > 1:
        raise DiagnosticsError(
            error("Wrong import id", f"This type is identified by {', '.join(names)}: give an object with these.")
        )
    return {names[0]: given}


def object_to_import(desired: DesiredObject, given: Any, rules: ResourceTypeRules) -> ObjectState:
    """Return the object to read, which has only its identity."""
    identity = full_identity(given, rules)
    return ObjectState(desired.provider, desired.type, desired.key, identity, timeouts=desired.timeouts)


def imported_object(
    desired: DesiredObject, requested: ObjectState, found: RefreshedObject, rules: ResourceTypeRules, key: bytes
) -> ObjectState:
    """Return the record of an object that was read; raise DiagnosticsError if it does not exist."""
    if not found.exists:
        reported = (f"{d.summary}: {d.detail}" if d.detail else d.summary for d in found.diagnostics)
        reason = "; ".join(reported) or "its provider reports that it does not exist"
        raise DiagnosticsError(
            error("Nothing to import", f"{requested.identity}: {reason}.", desired.range, address=desired.address)
        )
    paths = {*desired.sensitive, *rules.sensitive_paths}
    return ObjectState(
        provider=desired.provider,
        type=desired.type,
        key=desired.key,
        identity=found.identity if found.identity is not None else requested.identity,
        attributes=redact({n: v for n, v in (found.attributes or {}).items() if v != WITHHELD}, paths, key),
        private=found.private,
        dependencies=desired.dependencies,
        sensitive=tuple(sorted(paths, key=str)),
        schema_version=rules.version,
        holds_data=rules.holds_data,
        create_before_destroy=desired.lifecycle.create_before_destroy,
        prevent_destroy=desired.provider_prevents_destroy,
        protected=desired.lifecycle.prevent_destroy,
        timeouts=desired.timeouts,
    )
