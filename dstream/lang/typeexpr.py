"""Type expressions: parses the expression after `type =` in a variable into a Type."""

from __future__ import annotations

from dstream.config.syntax.tree import Call, Expr, Literal, ObjectExpr, Parentheses, TupleExpr, Variable
from dstream.lang.convert import convert
from dstream.lang.errors import problem
from dstream.lang.expressions import evaluate
from dstream.lang.scope import Scope
from dstream.lang.types import ANY, BOOL, NUMBER, STRING, Collection, ConversionError, ObjectType, TupleType, Type

_NAMES: dict[str, Type] = {"string": STRING, "number": NUMBER, "bool": BOOL, "any": ANY}
_COLLECTIONS = ("list", "set", "map")
_ELSEWHERE = {
    **dict.fromkeys(("str", "text", "varchar", "char"), "string"),
    **dict.fromkeys(("int", "integer", "float", "double", "decimal"), "number"),
    "boolean": "bool",
    **dict.fromkeys(("dict", "hash", "dictionary"), "map"),
    "array": "list",
    "struct": "object",
}
"""Types of other languages, and what they are here."""
_KNOWN = "string, number, bool, any, list(...), set(...), map(...), object({...}) and tuple([...])"


def parse_type(expr: Expr) -> Type:
    """Return the type that an expression names; raise DiagnosticsError."""
    if isinstance(expr, Parentheses):
        return parse_type(expr.value)
    if isinstance(expr, Variable):
        if expr.name in _NAMES:
            return _NAMES[expr.name]
        if expr.name in _COLLECTIONS:
            return Collection(expr.name, ANY)
        raise problem("Unknown type", f"Unknown type {expr.name}.{_similar(expr.name)} Types are {_KNOWN}.", expr)
    if isinstance(expr, Literal) and expr.value in (*_NAMES, *_COLLECTIONS):
        detail = f'Types are written without quotation marks: {expr.value}, not "{expr.value}".'
        raise problem("Quoted type", detail, expr)
    if isinstance(expr, Call):
        return _constructed(expr)
    raise problem("Unknown type", f"This is not a type. Types are {_KNOWN}.", expr)


def _constructed(expr: Call) -> Type:
    name, arguments = expr.name, expr.arguments
    if name == "optional":
        detail = "optional(...) can be used only for an attribute of object({...})."
        raise problem("Misplaced optional", detail, expr)
    if name in (*_COLLECTIONS, "object", "tuple") and len(arguments) != 1:
        raise problem("Invalid type", f"{name}(...) takes one argument.", expr)
    if name in _COLLECTIONS:
        return Collection(name, parse_type(arguments[0]))
    if name == "tuple":
        if isinstance(arguments[0], TupleExpr):
            return TupleType(tuple(parse_type(item) for item in arguments[0].items))
        raise problem("Invalid type", "The types of a tuple are in brackets: tuple([string, number]).", arguments[0])
    if name == "object":
        if isinstance(arguments[0], ObjectExpr):
            return _object(arguments[0])
        raise problem("Invalid type", "The types of an object are in braces: object({ name = string }).", arguments[0])
    detail = f"Unknown type {name}(...).{_similar(name, '(...)')} Types are {_KNOWN}."
    raise problem("Unknown type", detail, expr.name_range)


def _similar(name: str, rest: str = "") -> str:
    """Return the hint for a type of another language, or a misspelt one."""
    import difflib

    found = _ELSEWHERE.get(name.lower())
    if found is None:
        found = next(iter(difflib.get_close_matches(name, [*_NAMES, *_COLLECTIONS, "object", "tuple"], 1)), None)
    return f" Did you mean {found}{rest}?" if found is not None else ""


def _object(expr: ObjectExpr) -> ObjectType:
    attributes: dict[str, Type] = {}
    optional: dict[str, object] = {}
    for key, value in expr.items:
        if not (isinstance(key, Literal) and isinstance(key.value, str)):
            raise problem("Invalid type", "The attributes of an object type have plain names.", key)
        name = key.value
        if isinstance(value, Call) and value.name == "optional":
            if not 1 <= len(value.arguments) <= 2:
                raise problem("Invalid type", "optional(...) takes a type and a default, which can be omitted.", value)
            attributes[name] = parse_type(value.arguments[0])
            optional[name] = _default(value.arguments[1], attributes[name]) if len(value.arguments) == 2 else None
        else:
            attributes[name] = parse_type(value)
    return ObjectType(attributes, optional)


def _default(expr: Expr, type_: Type) -> object:
    value = evaluate(expr, Scope())
    try:
        converted: object = convert(value, type_)
    except ConversionError as wrong:
        raise problem("Invalid default", f"The default does not fit its type: {wrong.sentence()}.", expr) from None
    return converted
