"""Resource type rules: the parts of a resource type's schema that planning uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from dstream.engine.evaluate.answer_types import NO_TYPES, AnswerTypes, answer_types
from dstream.engine.evaluate.redaction import Path
from dstream.engine.providers.implied_type import NO_IMPLIED_TYPE, ImpliedType, implied_type
from dstream.plugins import ProviderInfo, ResourceSchema
from dstream_state import V1_LIFECYCLE


class ResourceTypeRules(Struct, frozen=True):
    """The rules of one type; satisfies `dstream.plan.TypeRules`."""

    computed: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    """Computed attributes that the provider's plan of a change leaves unknown."""
    replace: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    unordered: frozenset[str] = frozenset()
    holds_data: bool = False
    identity_attributes: tuple[str, ...] = ()
    """Attributes that form the identity, if it is known before the object exists."""
    sensitive_paths: frozenset[Path] = frozenset()
    unreadable: frozenset[str] = frozenset()
    """Secrets that the provider generates and returns only once: they need an encrypted state."""
    version: int = 1
    settle: float = 30.0
    """Seconds after which a request that was cut off can no longer create an object."""
    plans: bool = False
    """Whether the provider plans changes."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """The JSON Schema of the attributes."""
    implied_type: ImpliedType = NO_IMPLIED_TYPE
    """All attributes, set or not."""
    answer_types: AnswerTypes = NO_TYPES
    """The types that answers of the provider are held to."""
    normalizes: bool = False
    """Whether the target may write a value in another way than it was given."""


NO_RULES = ResourceTypeRules()


def rules_of(info: ProviderInfo, type_: str) -> ResourceTypeRules | None:
    """Return the rules of a type, or None if the provider has no such type. A version 1 lifecycle has no rules."""
    if type_ == V1_LIFECYCLE and info.protocol < 2:
        return NO_RULES
    schema = info.resources.get(type_)
    return None if schema is None else _rules(schema)


def _rules(schema: ResourceSchema) -> ResourceTypeRules:
    properties = schema.schema.get("properties", {})
    return ResourceTypeRules(
        computed=frozenset(schema.computed),
        replace=frozenset(schema.replace),
        defaults=schema.defaults,
        unordered=frozenset(name for name, part in properties.items() if part.get("uniqueItems")),
        holds_data=schema.holds_data,
        identity_attributes=tuple(schema.identity_attributes) if schema.identity == "planned" else (),
        sensitive_paths=frozenset((name,) for name in schema.sensitive),
        unreadable=frozenset(
            name for name, kind in schema.sensitive.items() if kind == "write_only" and name in schema.computed
        ),
        version=schema.version,
        settle=schema.settle,
        plans=schema.plans,
        schema=schema.schema,
        implied_type=implied_type(schema.schema, schema.computed),
        answer_types=answer_types(schema.schema),
        normalizes=schema.normalizes,
    )
