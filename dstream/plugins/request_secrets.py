"""Request secrets: the sensitive texts in a request and its answer, for the redactor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.lang import value_at
from dstream.plugins.request import Answer, Request
from dstream.plugins.schema import ResourceSchema
from dstream.plugins.type_schemas import DescribedTypes

Schemas = Mapping[str, ResourceSchema]


def secrets_sent(request: Request, schemas: Schemas) -> Iterator[str]:
    """Yield the sensitive texts that a request takes to a provider."""
    for path in request.sensitive or ():
        yield from texts(value_at(request.desired, path))
    if request.prior is not None:
        yield from _named(request.prior, request.type, schemas)


def secrets_received(request: Request, answer: Answer, schemas: Schemas) -> Iterator[str]:
    """Yield the sensitive texts that a provider answers with."""
    if answer.attributes is not None:
        yield from _named(answer.attributes, request.type, schemas)
    for requested, each in zip(request.objects or (), answer.objects or (), strict=False):
        if each.attributes is not None:
            yield from _named(each.attributes, str(requested.get("type")), schemas)


def may_tell(request: Request, schemas: Schemas) -> bool:
    """Return whether the answer to a request may have sensitive texts in it."""
    types = {request.type, *(str(requested.get("type")) for requested in request.objects or ())}
    return any(found is not None and found.sensitive for found in (_schema(each, schemas) for each in types if each))


def _schema(type_: str, schemas: Schemas) -> ResourceSchema | None:
    return schemas.known(type_) if isinstance(schemas, DescribedTypes) else schemas.get(type_)


def _named(attributes: Any, type_: str, schemas: Schemas) -> Iterator[str]:
    schema = _schema(type_, schemas)
    if schema is not None and isinstance(attributes, Mapping):
        for name in schema.sensitive:
            yield from texts(attributes.get(name))


def texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value."""
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
