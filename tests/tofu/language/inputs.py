"""The names that expressions use, for OpenTofu and for dstream: `local.NAME`, and files in the folder."""

from __future__ import annotations

from pathlib import Path

from dstream.lang import Scope, Sensitive, SetValue, Surroundings, Unknown
from dstream.lang.types import ANY, BOOL, NUMBER, STRING, Collection, ObjectType, TupleType
from dstream.lang.values import ListValue, MapValue

FILES = {
    "hello.txt": "Hello, Wörld\n",
    "empty.txt": "",
    "greet.tftpl": "%{ for name in names ~}\nHello ${name}\n%{ endfor ~}\n",
    "broken.tftpl": "${names",
    "data.json": '{"a": [1, 2.50, null, true, "x"]}',
}

_UNKNOWN = {
    "us": ('"x"', STRING),
    "un": ("1", NUMBER),
    "ub": ("true", BOOL),
    "ul": ('tolist(["a", "b"])', Collection("list", STRING)),
    "uset": ('toset(["a", "b"])', Collection("set", STRING)),
    "um": ('tomap({ a = "b" })', Collection("map", STRING)),
    "uo": ('{ a = "b", n = 1 }', ObjectType({"a": STRING, "n": NUMBER})),
    "ut": ('["a", 1]', TupleType((STRING, NUMBER))),
}
"""The unknown values: the output of an object that does not exist yet has the type of its input."""

_KNOWN = {
    "ua": ("jsondecode(terraform_data.us.output)", Unknown(ANY)),
    "uid": ("terraform_data.us.id", Unknown(STRING, not_null=True)),
    "s": ('sensitive("secret")', Sensitive("secret", {"var s"})),
    "sn": ("sensitive(7)", Sensitive(7, {"var sn"})),
    "sb": ("sensitive(true)", Sensitive(True, {"var sb"})),
    "sl": ('sensitive(tolist(["x", "y"]))', Sensitive(ListValue(["x", "y"]), {"var sl"})),
    "sm": ('sensitive(tomap({ a = "x" }))', Sensitive(MapValue(a="x"), {"var sm"})),
    "so": ('{ a = sensitive("x"), b = 2 }', {"a": Sensitive("x", {"var so"}), "b": 2}),
    "sd": ('[1, sensitive("x"), 3]', [1, Sensitive("x", {"var sd"}), 3]),
    "su": ("sensitive(terraform_data.us.output)", Sensitive(Unknown(STRING), {"var su"})),
    "l": ('tolist(["a", "b", "c"])', ListValue(["a", "b", "c"])),
    "ln": ("tolist([3, 1, 2])", ListValue([3, 1, 2])),
    "m": ('tomap({ a = "x", b = "y" })', MapValue(a="x", b="y")),
    "o": ('{ a = "x", n = 1, l = [1, 2] }', {"a": "x", "n": 1, "l": [1, 2]}),
    "set": ('toset(["a", "b"])', SetValue(["a", "b"])),
    "lo": ("[{ a = 1 }, { a = 2, b = 3 }]", [{"a": 1}, {"a": 2, "b": 3}]),
    "pu": ("[1, terraform_data.un.output, 3]", [1, Unknown(NUMBER), 3]),
    "tpl": ('"<$${a}>"', "<${a}>"),
}

NAMES = (*_UNKNOWN, *_KNOWN)


def configuration() -> str:
    """Return the HCL that gives the names their values."""
    blocks = [f'resource "terraform_data" "{name}" {{\n  input = {text}\n}}\n' for name, (text, _) in _UNKNOWN.items()]
    values = [f"  {name} = terraform_data.{name}.output\n" for name in _UNKNOWN]
    values += [f"  {name} = {text}\n" for name, (text, _) in _KNOWN.items()]
    return "".join([*blocks, "locals {\n", *values, "}\n"])


def write_files(folder: Path) -> None:
    """Write the files that expressions read."""
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")


def scope(folder: Path) -> Scope:
    """Return the names for dstream."""
    values = {name: Unknown(type_) for name, (_, type_) in _UNKNOWN.items()}
    values |= {name: value for name, (_, value) in _KNOWN.items()}
    return Scope({"local": values}, surroundings=Surroundings(root=folder, planning=True))
