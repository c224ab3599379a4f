"""ResourceSchema: the schema of one resource type of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, cast

from msgspec import Struct, field

from dstream.plugins.schema_keywords import require_supported

Readable = Literal["readable", "write_only"]


class ResourceSchema(Struct, frozen=True):
    """One resource type. Attribute names throughout are those of the top level."""

    type: str
    version: int = 1
    schema: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema of the attributes, inputs and computed ones."""
    computed: frozenset[str] = frozenset()
    """Attributes that the provider fills in."""
    sensitive: Mapping[str, Readable] = field(default_factory=dict)
    """Attributes that are never shown, and whether they can be read again."""
    replace: frozenset[str] = frozenset()
    """Attributes whose change needs a new object."""
    identity: Literal["planned", "assigned"] = "assigned"
    """Whether the identity follows from the attributes, or is given by the target when it creates the object."""
    identity_attributes: tuple[str, ...] = ()
    holds_data: bool = False
    plans: bool = False
    """Whether the provider plans changes of this type itself."""
    normalizes: bool = False
    """Whether the target may write a value in another way than it was given, such as `westeurope` for `West Europe`."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of attributes that are not set, from `default` in the JSON Schema."""
    settle: float = 30.0
    """Seconds after which a request that was cut off surely has no more effect on the target."""

    @property
    def identity_planned(self) -> bool:
        """Whether the identity is known before the object is created."""
        return self.identity == "planned"


def parse_schema(name: str, form: Mapping[str, Any]) -> ResourceSchema:
    """Return the schema of type `name`; raise ValueError with what is wrong with it."""
    if ":" in name:
        raise ValueError(f"{name!r} is not a type name: it may not hold a colon")
    schema = _object(form, "schema")
    sensitive = _object(form, "sensitive")
    for attribute, kind in sensitive.items():
        if kind not in ("readable", "write_only"):
            raise ValueError(f"{name}: sensitive.{attribute} is {kind!r}, and may be readable or write_only")
    identity = form.get("identity", "assigned")
    if identity not in ("planned", "assigned"):
        raise ValueError(f"{name}: identity is {identity!r}, and may be planned or assigned")
    version = form.get("version", 1)
    if not isinstance(version, int) or isinstance(version, bool):
        raise ValueError(f"{name}: version is {version!r}, and must be an integer")
    require_supported(schema, f"the schema of {name}")
    properties = schema.get("properties")
    return ResourceSchema(
        type=name,
        version=version,
        schema=schema,
        computed=frozenset(_names(form, "computed")),
        sensitive={attribute: cast("Readable", kind) for attribute, kind in sensitive.items()},
        replace=frozenset(_names(form, "replace")),
        identity="planned" if identity == "planned" else "assigned",
        identity_attributes=_names(form, "identity_attributes"),
        holds_data=form.get("holds_data") is True,
        plans=form.get("plans") is True,
        normalizes=form.get("normalizes") is True,
        defaults={
            attribute: each["default"]
            for attribute, each in (properties.items() if isinstance(properties, dict) else ())
            if isinstance(each, dict) and "default" in each
        },
        settle=_seconds(form, "settle", 30.0),
    )


def _object(form: Mapping[str, Any], member: str) -> dict[str, Any]:
    value = form.get(member) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{member} is not an object")
    return value


def _seconds(form: Mapping[str, Any], member: str, default: float) -> float:
    value = form.get(member, default)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value < 0:
        raise ValueError(f"{member} is {value!r}, and must be a number of seconds")
    return float(value)


def _names(form: Mapping[str, Any], member: str) -> tuple[str, ...]:
    value = form.get(member) or ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{member} is not a list of names")
    return tuple(value)
