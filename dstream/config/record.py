"""Record: classes with slots and an `__init__` from their annotations, fast to define and to create.

Like dataclasses, but defining fifty of those takes longer than reading a small configuration. Records are compared by
identity; only the builder of the syntax tree modifies them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, dataclass_transform

if TYPE_CHECKING:
    from typing import ClassVar


@dataclass_transform(eq_default=False)
class _RecordType(type):
    """Makes slots and `__init__` of a class's annotations; a value in the class is a default."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _RecordType:
        own = tuple(namespace.get("__annotations__", ()))
        namespace["__slots__"] = own
        base = bases[0] if bases else None
        defaults = {
            **getattr(base, "defaults", {}),
            **{field: namespace.pop(field) for field in own if field in namespace},
        }
        fields = (*getattr(base, "fields", ()), *own)
        parameters = ", ".join(f"{field}=_defaults[{field!r}]" if field in defaults else field for field in fields)
        lines = "; ".join(f"self.{field} = {field}" for field in fields) or "pass"
        made: dict[str, Any] = {"_defaults": defaults}
        exec(f"def __init__(self, {parameters}): {lines}", made)  # noqa: S102  # names of annotations in our source only
        namespace.update(__init__=made["__init__"], fields=fields, defaults=defaults)
        return super().__new__(cls, name, bases, namespace)


class Record(metaclass=_RecordType):
    """A class whose annotations are its fields; `fields` has their names."""

    if TYPE_CHECKING:
        fields: ClassVar[tuple[str, ...]]
        defaults: ClassVar[dict[str, Any]]

    def __repr__(self) -> str:
        """Return all fields, for debugging."""
        inner = ", ".join(f"{field}={getattr(self, field)!r}" for field in self.fields if field != "source")
        return f"{type(self).__name__}({inner})"
