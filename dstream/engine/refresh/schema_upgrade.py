"""Schema upgrades: prior objects of an older schema version, upgraded by their provider before they are refreshed."""

from __future__ import annotations

from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.evaluate.redaction import prior_for_provider, redact
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.lang.markers import WITHHELD
from dstream.plugins import Answer, LegacyLifecycle, Request
from dstream.plugins.type_schemas import DescribedTypes
from dstream_state import ObjectState


def upgrade_objects(
    spec: ProviderSpec, objects: Mapping[str, ObjectState], pool: ProviderPool, key: bytes, *, encrypted: bool
) -> dict[str, ObjectState]:
    """Return the objects of a provider that have an older schema version, upgraded.

    With `encrypted`, the state may hold secrets. Raise DiagnosticsError with all objects that cannot be upgraded, and
    with those that a newer provider recorded.
    """
    found, problems = try_upgrade(spec, objects, pool, key, encrypted=encrypted)
    if problems:
        raise DiagnosticsError(problems)
    return found


def try_upgrade(
    spec: ProviderSpec, objects: Mapping[str, ObjectState], pool: ProviderPool, key: bytes, *, encrypted: bool
) -> tuple[dict[str, ObjectState], list[Diagnostic]]:
    """Return the objects as `upgrade_objects` does, and the errors that it would raise, with their addresses."""
    schemas = pool.installed(spec).info.resources
    if isinstance(schemas, DescribedTypes):
        return {}, []  # these keep the version in the provider's own notes
    session = None
    waiting: list[tuple[str, ObjectState, int, SimpleQueue[Answer]]] = []
    problems: list[Diagnostic] = []
    for address, item in objects.items():
        schema = schemas.get(item.type)
        if schema is None or schema.version == item.schema_version:
            continue
        if schema.version < item.schema_version:
            problems.append(_newer(address, item, schema.version, spec))
            continue
        session = session or pool.session(spec)
        if isinstance(session, LegacyLifecycle):
            continue
        answers: SimpleQueue[Answer] = SimpleQueue()
        prior = prior_for_provider(item.attributes, item.sensitive, key, item.attributes)
        request = Request(
            command="upgrade",
            type=item.type,
            key=item.key,
            identity=item.identity,
            prior=prior,
            private=item.private,
            version=item.schema_version,
        )
        session.submit(request, answers.put)
        waiting.append((address, item, schema.version, answers))
    found: dict[str, ObjectState] = {}
    for address, item, version, answers in waiting:
        answer = answers.get()
        if answer.status == "ok" and answer.attributes is not None:
            paths = {*item.sensitive, *((name,) for name in schemas[item.type].sensitive)}
            attributes = _kept(answer.attributes, item.attributes)
            found[address] = replace(
                item,
                attributes=attributes if encrypted else redact(attributes, paths, key),
                sensitive=tuple(sorted(paths, key=str)),
                schema_version=version,
            )
        else:
            reported = answer.diagnostics or (error("Schema upgrade failure", "It gave no reason."),)
            problems += (replace(each, address=address) for each in reported)
    return found, problems


def _kept(answer: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer, with each withheld value as recorded."""
    return {name: before.get(name, WITHHELD) if value == WITHHELD else value for name, value in answer.items()}


def _newer(address: str, item: ObjectState, known: int, spec: ProviderSpec) -> Diagnostic:
    return error(
        "Object recorded by a newer provider",
        f"It has version {item.schema_version} of the schema of {item.type}, and {spec.name} knows versions up to "
        f"{known}. Use the newer provider again (dstream init -upgrade).",
        address=address,
    )
