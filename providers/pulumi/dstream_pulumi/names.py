"""Names: `azure-native:servicebus:Queue` is `azure-native_servicebus_Queue` in HCL, and `maxSize` is `max_size`."""

from __future__ import annotations

import re

_WORD = re.compile(r"([a-z0-9])([A-Z])")
_ACRONYM = re.compile(r"([A-Z]+)([A-Z][a-z])")


def type_name(token: str) -> str:
    """Return the type name of a Pulumi token in configurations; a type name is returned unchanged.

    The module `index`, and the part of a module that repeats the type, are left out:
    `random:index/randomPet:RandomPet` is `random_RandomPet`.
    """
    package, colon, rest = token.partition(":")
    if not colon:
        return token
    module, _, name = rest.rpartition(":")
    head, slash, tail = module.rpartition("/")
    if slash and tail == name[:1].lower() + name[1:]:
        module = head
    parts = [part for part in module.split("/") if part and part != "index"]
    return "_".join([package, *parts, name])


def snake(name: str) -> str:
    """Return `maxDeliveryCount` as `max_delivery_count`."""
    return _WORD.sub(r"\1_\2", _ACRONYM.sub(r"\1_\2", name)).lower()


def logical_name(type_: str, key: str) -> str:
    """Return the name of an object in its URN, from which plugins generate names: the key without the type."""
    name = key.removeprefix(f"{type_}.")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "object"
