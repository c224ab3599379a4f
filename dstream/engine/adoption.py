"""Adoption: take objects that exist into the state, by `import` blocks or the command, as their provider reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dstream.addresses import parse_address
from dstream.config import ImportBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.providers import ProviderSpec
from dstream.engine.refresh import Reality, Refresh
from dstream.engine.rules import Rules
from dstream.engine.secrets import redact
from dstream.engine.wanted import Wanted
from dstream.lang import Scope, contains_unknown, evaluate, sensitive_paths, to_json_value
from dstream_state import ObjectState


def import_identities(blocks: Iterable[ImportBlock], scope: Scope) -> dict[str, Any]:
    """Return the identity of each object that an `import` block names, by address; raise DiagnosticsError."""
    found: dict[str, Any] = {}
    problems: list[Diagnostic] = []
    for block in blocks:
        try:
            address = str(parse_address("".join(block.to.text.split())))
        except ValueError as problem:
            problems.append(error("Wrong address", f"{problem}", block.to.range))
            continue
        value = evaluate(block.id, scope)
        if contains_unknown(value) or sensitive_paths(value) or value is None:
            detail = "The id of an import is known at plan, and no secret. If it is none: nonsensitive(...)."
            problems.append(error("Wrong import id", detail, block.id.range))
            continue
        found[address] = to_json_value(value)
    if problems:
        raise DiagnosticsError(problems)
    return found


def full_identity(given: Any, rules: Rules) -> Any:
    """Return an identity as the provider has it: a single value stands for the one attribute that makes it up."""
    if isinstance(given, Mapping):
        return dict(given)
    names = rules.identity_attributes or ("id",)
    if len(names) > 1:
        raise DiagnosticsError(
            error("Wrong import id", f"This type is identified by {', '.join(names)}: give an object with these.")
        )
    return {names[0]: given}


def adopted(
    wanted: Wanted, given: Any, spec: ProviderSpec, rules: Rules, refresh: Refresh, key: bytes
) -> tuple[ObjectState, Reality]:
    """Read an object that exists and return what the state records of it, and how it really is."""
    identity = full_identity(given, rules)
    item = ObjectState(wanted.provider, wanted.type, wanted.key, identity)
    found = refresh.imported(spec, wanted.address, item)
    if not found.exists:
        reason = "; ".join(d.summary for d in found.diagnostics) or "its provider says that there is none like it"
        raise DiagnosticsError(
            error("Nothing to import", f"{identity}: {reason}.", wanted.range, address=wanted.address)
        )
    paths = {*wanted.sensitive, *rules.sensitive_paths}
    recorded = ObjectState(
        provider=wanted.provider,
        type=wanted.type,
        key=wanted.key,
        identity=found.identity if found.identity is not None else identity,
        attributes=redact(found.attributes or {}, paths, key),
        private=found.private,
        dependencies=wanted.dependencies,
        sensitive=tuple(sorted(paths, key=str)),
        schema_version=rules.version,
        holds_data=rules.holds_data,
        create_before_destroy=wanted.lifecycle.create_before_destroy,
    )
    return recorded, found
