"""Generics: finds the configuration dataclass in the base of a provider class, `class Counter(Input[Settings])`."""

from __future__ import annotations

import typing
from typing import Any


def config_type(instance: object) -> type[Any]:
    """Return the dataclass in `Base[Settings]` of the instance's class; `dict` if none is named."""
    for kind in type(instance).__mro__:
        for base in kind.__dict__.get("__orig_bases__", ()):
            arguments = typing.get_args(base)
            if arguments:
                found = typing.get_origin(arguments[0]) or arguments[0]
                if isinstance(found, type):
                    return found
    return dict
