"""YAML by PyYAML, with the scalars of YAML 1.2's core schema and the style that Terraform writes."""

from __future__ import annotations

import datetime
import re
from base64 import b64encode
from decimal import Decimal
from functools import cache
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML has no types of its own

from dstream.lang.convert import to_string
from dstream.lang.functions.normal_form import normalized
from dstream.lang.functions.registry import FunctionError
from dstream.lang.values import SetValue, Value, number


def encoded(value: Value) -> str:
    """Return a known value as a YAML document: strings in quotation marks, names in order."""
    text: str = yaml.dump(value, Dumper=_dumper(), default_flow_style=False, width=80, allow_unicode=True)
    # PyYAML also ends block texts there; no other implementation does.
    return text.removesuffix("...\n") if isinstance(value, str | list | dict | SetValue) else text


def decoded(text: str) -> Value:
    """Return the value of a document; raise FunctionError."""
    try:
        found = yaml.load(text, Loader=_loader())  # noqa: S506  # a SafeLoader with fewer scalars, see below
    except yaml.YAMLError as wrong:
        raise FunctionError(f"the string is not valid YAML: {' '.join(str(wrong).split())}", 0) from None
    except (ValueError, ArithmeticError, AttributeError, TypeError, RecursionError) as wrong:
        # What PyYAML raises for a tag that does not fit its value is not always one of its own errors.
        raise FunctionError(f"the string is not valid YAML: {wrong}", 0) from None
    if found is None and not text.strip():
        raise FunctionError("the string is empty", 0)
    return _value(found, 0)


def _value(found: Any, depth: int) -> Value:
    if depth > 500:
        raise FunctionError("the YAML nests too deeply, or refers to itself", 0)
    if isinstance(found, bytes):
        return b64encode(found).decode()
    if isinstance(found, dict):
        return {name: _value(found[name], depth + 1) for name in sorted(found)}
    if isinstance(found, list):
        return [_value(item, depth + 1) for item in found]
    if isinstance(found, Decimal):
        return number(found)
    if isinstance(found, str):
        return normalized(found)
    if found is None or isinstance(found, int):
        return found
    if isinstance(found, datetime.datetime):
        return found.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    if isinstance(found, datetime.date):
        return f"{found.isoformat()}T00:00:00Z"
    raise FunctionError(f"the YAML has a value of type {type(found).__name__}, which is not supported", 0)


def _name(key: Any) -> str:
    if isinstance(key, str | int | Decimal | bool):
        return to_string(key)
    raise FunctionError("the YAML has a key that is not a string", 0)


@cache
def _loader() -> type[yaml.SafeLoader]:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # untyped base
        """Reads scalars as Terraform does: `yes` is true as in YAML 1.1, `0o14` a number as in YAML 1.2."""

        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  # PyYAML's own way to declare them

    resolvers = {
        "bool": (
            r"^(?:y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$",
            "yYoOtTnNfF",
        ),
        "timestamp": (
            r"^\d{4}-\d\d?-\d\d?(?:(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d\d?(?::?\d\d)?))?)?$",
            "0123456789",
        ),
        "null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        "int": (r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
        "float": (r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
        "infinite": (r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
        "merge": (r"^(?:<<)$", "<"),
    }
    for tag, (pattern, first) in resolvers.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Any:
        # By their texts: as Python's values, the keys 1 and true are one.
        loader.flatten_mapping(node)
        pairs = ((loader.construct_object(key, deep=True), value) for key, value in node.value)
        return {_name(key): loader.construct_object(value, deep=True) for key, value in pairs}

    def integer(loader: yaml.SafeLoader, node: Any) -> int:
        text = loader.construct_scalar(node)
        sign = -1 if text.startswith("-") else 1
        digits = text.lstrip("+-")
        base = {"0o": 8, "0x": 16}.get(digits[:2].lower())
        return sign * (int(digits[2:], base) if base else int(digits))

    def truth(loader: yaml.SafeLoader, node: Any) -> bool:
        return loader.construct_scalar(node).lower() in ("y", "yes", "on", "true")

    def fraction(loader: yaml.SafeLoader, node: Any) -> Decimal:
        return Decimal(loader.construct_scalar(node))

    def infinite(loader: yaml.SafeLoader, node: Any) -> Decimal:
        raise FunctionError(f"the YAML has {loader.construct_scalar(node)}, which is not a finite number", 0)

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:int", integer)
    Loader.add_constructor("tag:yaml.org,2002:float", fraction)
    Loader.add_constructor("tag:yaml.org,2002:infinite", infinite)
    Loader.add_constructor("tag:yaml.org,2002:bool", truth)
    return Loader


def _escaped(character: str) -> str:
    """Return a character as it stands in double quotation marks."""
    plain = " " <= character <= "~" or "\xa0" <= character <= "\ud7ff" or "\ue000" <= character <= "\ufffd"
    if plain and character not in '"\\\x85\u2028\u2029\ufeff':
        return character
    short = yaml.emitter.Emitter.ESCAPE_REPLACEMENTS.get(character)
    if short is not None:
        return f"\\{short}"
    code = ord(character)
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


@cache
def _dumper() -> type[yaml.SafeDumper]:
    class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # untyped base
        """Writes strings in quotation marks, longer texts as blocks, and lists flush with their names."""

        def check_simple_key(self) -> bool:
            # PyYAML writes an empty key as "? ''", which no other program does.
            return bool(super().check_simple_key()) or getattr(self.event, "value", None) == ""

        def write_double_quoted(self, text: str, split: bool = True) -> None:
            # PyYAML breaks long lines with a backslash at their ends, libyaml and what follows it with a space alone.
            self.write_indicator('"', True)
            spaces = False
            for index, character in enumerate(text):
                if character != " ":
                    self.put(_escaped(character))
                elif split and not spaces and self.column > self.best_width and 0 < index < len(text) - 1:
                    self.write_indent()
                    if text[index + 1] == " ":
                        self.put("\\")
                else:
                    self.put(" ")
                spaces = character == " "
            self.write_indicator('"', False)

        def put(self, text: str) -> None:
            self.column += len(text)
            self.stream.write(text)

        def ignore_aliases(self, _data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, indentless)

    def text(dumper: yaml.SafeDumper, value: str) -> Any:
        block = "\n" in value
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if block else '"')

    def mapping(dumper: yaml.SafeDumper, value: dict[str, Any]) -> Any:
        return dumper.represent_mapping("tag:yaml.org,2002:map", sorted(value.items()))

    def sequence(dumper: yaml.SafeDumper, value: Any) -> Any:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", list(value))

    def fraction(dumper: yaml.SafeDumper, value: Decimal) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:float", to_string(value))

    Dumper.add_representer(str, text)
    Dumper.add_multi_representer(dict, mapping)
    Dumper.add_multi_representer(list, sequence)
    Dumper.add_representer(SetValue, sequence)
    Dumper.add_representer(Decimal, fraction)
    return Dumper
