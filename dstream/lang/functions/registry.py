"""Registry: declares the functions of the language, and finds them by name.

The functions live in modules by subject; a module is imported when one of its functions is first called. A function
gets known values of the types that it declares, and returns a value; what it raises as FunctionError becomes a
diagnostic at the argument. By default an unknown argument makes the result unknown and a sensitive one makes it
sensitive, also when it is deep inside; `shallow` functions are given elements as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from msgspec import Struct

from dstream.lang.types import ANY, BOOL, LIST, MAP, NUMBER, SET, STRING, Collection, ObjectType, TupleType, Type

Implementation = TypeVar("Implementation", bound=Callable[..., Any])

_TYPES: dict[str, Type] = {
    "any": ANY, "string": STRING, "number": NUMBER, "bool": BOOL, "list": LIST, "map": MAP, "set": SET,
    "strings": Collection("list", STRING), "numbers": Collection("list", NUMBER),
    "items": ANY, "sequence": ANY, "names": ANY,
}  # fmt: skip
_TAKES = {
    "items": ("a list or set", ("list", "set", "tuple")),
    "sequence": ("a list", ("list", "tuple")),
    "names": ("a map or object", ("map", "object")),
}
"""In words and by kind of type, what a function takes that converts nothing itself."""

_MODULES: dict[str, str] = {
    "numeric": "abs ceil floor log max min parseint pow signum",
    "strings": "chomp endswith format formatlist indent join lower regex regexall replace split startswith strcontains "
    "strrev substr templatestring title trim trimprefix trimspace trimsuffix upper",
    "collections": "alltrue anytrue chunklist coalesce coalescelist compact concat contains distinct element flatten "
    "index length matchkeys one range reverse slice sort sum",
    "maps": "keys lookup merge transpose values zipmap",
    "sets": "setintersection setproduct setsubtract setunion",
    "encoding": "base64decode base64encode base64gzip base64gunzip csvdecode jsondecode jsonencode textdecodebase64 "
    "textencodebase64 urlencode urldecode yamldecode yamlencode",
    "files": "abspath basename dirname file filebase64 fileexists fileset pathexpand templatefile",
    "dates": "formatdate plantimestamp timeadd timecmp timestamp",
    "hashes": "base64sha256 base64sha512 bcrypt filebase64sha256 filebase64sha512 filemd5 filesha1 filesha256 "
    "filesha512 md5 rsadecrypt sha1 sha256 sha512 uuid uuidv5",
    "network": "cidrcontains cidrhost cidrnetmask cidrsubnet cidrsubnets",
    "conversion": "ephemeralasnull issensitive nonsensitive sensitive tobool tolist tomap tonumber toset tostring type",
    "special": "can env try",
}
MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}
"""The module of each function."""


class FunctionError(Exception):
    """A call fails; `argument` is the index of the argument that caused it, if one did."""

    def __init__(self, message: str, argument: int | None = None) -> None:
        """Take a sentence without its full stop."""
        self.message = message
        self.argument = argument
        super().__init__(message)


class NotSet(FunctionError):
    """A function reads an environment variable or file that does not exist; the message is complete sentences."""


class NotResolved(FunctionError):
    """A function is withheld from a configuration that is not trusted: its result is unknown."""


class NullArgument(FunctionError):
    """An argument is null and must not be; the message is the parameter's name."""


class Parameter(Struct, frozen=True):
    """One parameter: its name in the documentation, its type, and whether null may be given."""

    name: str
    type: Type
    nullable: bool = False
    takes: str = ""
    """`items`, `sequence` or `names`: what the argument has to be, without a conversion."""

    def excludes(self, type_: Type | None) -> str:
        """Return what the parameter takes, if it cannot take a value of a type; otherwise an empty string."""
        if not self.takes or type_ is None or type_ is ANY:
            return ""
        words, kinds = _TAKES[self.takes]
        match type_:
            case Collection():
                kind = type_.name
            case TupleType():
                kind = "tuple"
            case ObjectType():
                kind = "object"
            case _:
                kind = ""
        return "" if kind in kinds else words


class Function(Struct, frozen=True):
    """A function: its parameters, the variadic one, and the implementation."""

    name: str
    parameters: tuple[Parameter, ...]
    rest: Parameter | None
    implementation: Callable[..., Any]
    shallow: bool
    """Whether elements of arguments may be unknown or sensitive."""
    marked: bool
    """Whether arguments are passed with their Sensitive marks."""
    surrounded: bool
    """Whether the first argument is the Surroundings."""
    lazy: bool
    """Whether it takes expressions and the scope, and evaluates them itself."""
    optional: int
    """The number of optional parameters at the end."""
    gives: str = ""
    """What the lists and objects that it returns are: `list` or `map` for those with elements of one type, `same` for
    such ones if all arguments are; tuples and objects otherwise."""

    def usage(self) -> str:
        """Return the usage, such as `split(separator, string)`."""
        names = [parameter.name for parameter in self.parameters]
        for index in range(len(names) - self.optional, len(names)):
            names[index] = f"[{names[index]}]"
        if self.rest is not None:
            names.append(f"{self.rest.name}...")
        return f"{self.name}({', '.join(names)})"


FUNCTIONS: dict[str, Function] = {}
"""The functions whose modules have been imported."""


def function(
    signature: str = "",
    *,
    name: str | None = None,
    shallow: bool = False,
    marked: bool = False,
    surrounded: bool = False,
    lazy: bool = False,
    gives: str = "",
) -> Callable[[Implementation], Implementation]:
    """Declare a function: `separator: string, values: strings, more...: any, last?: number`.

    A type that ends in `|null` accepts null.
    """

    def declare(implementation: Implementation) -> Implementation:
        plain = name or implementation.__name__.rstrip("_")
        parameters: list[Parameter] = []
        rest: Parameter | None = None
        optional = 0
        for part in filter(None, (piece.strip() for piece in signature.split(","))):
            label, _, type_name = (piece.strip() for piece in part.partition(":"))
            base, _, null = type_name.partition("|")
            takes = base.strip() if base.strip() in _TAKES else ""
            parameter = Parameter(label.rstrip("?."), _TYPES[base.strip()], null == "null", takes)
            if label.endswith("..."):
                rest = parameter
            else:
                parameters.append(parameter)
                optional += label.endswith("?")
        FUNCTIONS[plain] = Function(
            plain, tuple(parameters), rest, implementation, shallow, marked, surrounded, lazy, optional, gives
        )
        return implementation

    return declare


def find(name: str) -> Function | None:
    """Return a function by name, or None if there is none."""
    found = FUNCTIONS.get(name)
    if found is None and name in MODULE_OF:
        import_module(f"dstream.lang.functions.{MODULE_OF[name]}")
        found = FUNCTIONS.get(name)
    return found


def names() -> list[str]:
    """Return the names of all functions."""
    return sorted(MODULE_OF)
