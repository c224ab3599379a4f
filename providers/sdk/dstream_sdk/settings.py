"""Settings: decodes the configuration that users write in HCL to a dataclass of the provider.

`setting` declares a field with its description in the schema. `decode` makes an instance from JSON, with the leniency
that existing configurations rely on: `maxCount` is `max_count`, further aliases are declared, numbers and booleans may
be strings. The JSON Schema of the same dataclass is made by `dstream_sdk.schema`.

Field types: str, int, float, bool, Decimal, Duration, Any, Literal of strings, `X | None`, list[X], tuple[X, ...],
set[X] and frozenset[X] (lists whose order means nothing), dict[str, X], and other dataclasses.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, TypeVar

from dstream_sdk.channel import UNKNOWN
from dstream_sdk.durations import Duration
from dstream_sdk.errors import Deferred, InvalidError, SettingsError

T = TypeVar("T")
WHOLE = r"^\s*[-+]?[0-9]+\s*$"
"""An integer in a string."""
NUMBER = r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"
"""A number in a string."""
_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}


@dataclass(frozen=True, slots=True)
class About:
    """The properties of a setting in the schema, besides its type."""

    description: str = ""
    aliases: tuple[str, ...] = ()
    sensitive: bool = False
    minimum: int | float | None = None
    maximum: int | float | None = None


def setting(
    default: Any = MISSING,
    *,
    default_factory: Any = MISSING,
    description: str = "",
    aliases: Sequence[str] = (),
    sensitive: bool = False,
    minimum: int | float | None = None,
    maximum: int | float | None = None,
) -> Any:
    """Return a dataclass field; without a default the setting is required.

    `aliases` are other names that are accepted (camelCase of the field's own name always is). `sensitive` values are
    never shown. `minimum` and `maximum` are inclusive.
    """
    about = About(description, tuple(aliases), sensitive, minimum, maximum)
    metadata = {"dstream": about}
    if default_factory is not MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def about(field: dataclasses.Field[Any]) -> About:
    """Return the declared properties of a field; defaults for a plain dataclass field."""
    found = field.metadata.get("dstream")
    return found if isinstance(found, About) else About()


def camel(name: str) -> str:
    """Return `max_count` as `maxCount`."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def spellings(field: dataclasses.Field[Any]) -> list[str]:
    """Return the accepted names of a setting, its own first."""
    return list(dict.fromkeys((field.name, camel(field.name), *about(field).aliases)))


def required(field: dataclasses.Field[Any]) -> bool:
    """Return whether the setting has no default."""
    return field.default is MISSING and field.default_factory is MISSING


@cache
def field_types(config: type[Any]) -> dict[str, Any]:
    """Return the resolved type of each field of a dataclass."""
    return typing.get_type_hints(config)


def decode(config: type[T], value: Any, *, path: str = "config", warn: Callable[[str], None] | None = None) -> T:
    """Return an instance of the dataclass `config` made of the JSON object `value`.

    Raises SettingsError with every problem found. With `warn`, an unknown setting is told to it instead of being an
    error. A setting whose value is UNKNOWN raises Deferred when the instance's attribute is read. `config` may be
    `dict`: then the value is returned as it is.
    """
    problems: list[InvalidError] = []
    made = _Decoder(problems, warn).build(config, value, path)
    if problems:
        raise SettingsError(problems)
    return typing.cast("T", made)


class _Decoder:
    def __init__(self, problems: list[InvalidError], warn: Callable[[str], None] | None) -> None:
        self._problems = problems
        self._warn = warn

    def _wrong(self, path: str, detail: str) -> None:
        self._problems.append(InvalidError("Invalid setting", f"{path}: {detail}", path=path))

    def build(self, config: type[Any], value: Any, path: str) -> Any:
        if value is UNKNOWN:
            raise Deferred(path)
        if not isinstance(value, Mapping):
            self._wrong(path, f"expected an object with settings, found {_kind(value)}")
            return None
        if not dataclasses.is_dataclass(config):
            return dict(value)
        fields = {field.name: field for field in dataclasses.fields(config) if field.init}
        types_of = field_types(config)
        names = {spelling: name for name, field in fields.items() for spelling in spellings(field)}
        given: dict[str, Any] = {}
        unknown: dict[str, str] = {}
        seen: set[str] = set()
        for key, item in value.items():
            name = names.get(key)
            if name is None:
                self._stranger(key, path, list(fields))
                continue
            if name in seen:
                self._wrong(f"{path}.{key}", f"is set twice, once under another spelling of {name}")
                continue
            seen.add(name)
            if item is UNKNOWN:
                unknown[name] = f"{path}.{key}"
            elif item is not None or _allows_none(types_of[name]):  # null is the same as not given
                given[name] = self.convert(types_of[name], item, f"{path}.{key}", about(fields[name]))
        for name, field in fields.items():
            if required(field) and name not in given and name not in unknown:
                why = about(field).description or "it has no default"
                self._wrong(f"{path}.{name}", f"is required; {why}")
        if self._problems:
            return None
        if unknown:
            return _with_unknown(config, given, unknown)
        try:
            return config(**given)
        except ValueError as problem:
            self._wrong(path, str(problem))
            return None

    def _stranger(self, key: str, path: str, names: list[str]) -> None:
        import difflib

        near = difflib.get_close_matches(key, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
        if self._warn is not None:
            self._warn(f"{path}.{key}: no such setting, ignored; {hint}")
        else:
            self._wrong(f"{path}.{key}", f"no such setting; {hint}")

    def convert(self, kind: Any, value: Any, path: str, note: About | None = None) -> Any:
        note = note or About()
        if value is UNKNOWN:
            raise Deferred(path)
        if kind is Any:
            return value
        if value is None:
            if not _allows_none(kind):
                self._wrong(path, "must not be null")
            return None
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Union or origin is types.UnionType:
            choices = [choice for choice in arguments if choice is not type(None)]
            if choices == [Duration] and value == "":
                return None
            return self.convert(choices[0], value, path, note) if len(choices) == 1 else value
        if origin is typing.Literal:
            if value in arguments:
                return value
            self._wrong(path, f"expected one of {', '.join(map(str, arguments))}")
            return None
        if (origin or kind) in (list, tuple, set, frozenset):
            item = arguments[0] if arguments else Any
            if not isinstance(value, list | tuple):
                self._wrong(path, f"expected a list, found {_kind(value)}")
                return None
            made = [self.convert(item, each, f"{path}[{at}]") for at, each in enumerate(value)]
            return (origin or kind)(made)
        if origin is dict or kind is dict:
            item = arguments[1] if arguments else Any
            if not isinstance(value, Mapping):
                self._wrong(path, f"expected a map, found {_kind(value)}")
                return None
            return {key: self.convert(item, each, f"{path}.{key}") for key, each in value.items()}
        if dataclasses.is_dataclass(kind):
            # A nested block arrives as a list with one object for each time it is written.
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            return self.build(typing.cast("type[Any]", kind), value, path)
        return self._scalar(kind, value, path, note)

    def _scalar(self, kind: Any, value: Any, path: str, note: About) -> Any:
        made: Any = None
        if kind is bool:
            if isinstance(value, bool):
                return value
            if isinstance(value, str) and value in _BOOLEANS:
                return _BOOLEANS[value]
        elif kind is str:
            if isinstance(value, str):
                return value
            if isinstance(value, bool):
                return "true" if value else "false"
            if isinstance(value, int | float):
                return str(value)
        elif kind is Duration:
            try:
                return Duration(str(value))
            except ValueError as problem:
                self._wrong(path, str(problem))
                return None
        elif kind in (int, float) or getattr(kind, "__name__", "") == "Decimal":
            made = _number(kind, value)
            if made is not None:
                if note.minimum is not None and made < note.minimum:
                    self._wrong(path, f"is {made}, must be at least {note.minimum}")
                if note.maximum is not None and made > note.maximum:
                    self._wrong(path, f"is {made}, must be at most {note.maximum}")
                return made
        else:
            return value
        self._wrong(path, f"expected {_NAMES.get(kind, 'a number')}, found {_kind(value)}")
        return None


_NAMES = {bool: "true or false", str: "a string", int: "a whole number", float: "a number"}


def _number(kind: Any, value: Any) -> Any:
    made: Any
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.search(WHOLE if kind is int else NUMBER, value):
        return None
    try:
        if kind is int and isinstance(value, float):
            return int(value) if value.is_integer() else None
        made = kind(str(value).strip())
    except (ValueError, ArithmeticError):
        return None
    return made if made - made == 0 else None  # not NaN, not infinite


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = ((bool, "a boolean"), (str, "a string"), (int | float, "a number"), (list, "a list"))
    return next((name for kind, name in names if isinstance(value, kind)), "an object")


def _allows_none(kind: Any) -> bool:
    return kind is Any or kind is type(None) or type(None) in typing.get_args(kind)


def _with_unknown(config: type[Any], given: dict[str, Any], unknown: dict[str, str]) -> Any:
    """Return an instance whose unknown attributes raise Deferred when read; `__post_init__` is not run."""

    def raising(path: str) -> property:
        def read(_: Any) -> Any:
            raise Deferred(path)

        return property(read)

    partial = type(config.__name__, (config,), {name: raising(path) for name, path in unknown.items()})
    made: Any = object.__new__(partial)
    for field in dataclasses.fields(config):
        if field.name in given:
            object.__setattr__(made, field.name, given[field.name])
        elif field.name not in unknown:
            factory = field.default_factory
            object.__setattr__(made, field.name, field.default if factory is MISSING else factory())
    return made
