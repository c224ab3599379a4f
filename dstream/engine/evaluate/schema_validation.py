"""Schema validation: checks arguments of a configuration against the schema of its provider.

Covers the keywords of JSON Schema that `dstream.plugins.schema_keywords` lists, and `x-alias-of`. Unknown values pass.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dstream.config import Body, ResourceBlock
from dstream.diagnostics import Diagnostic, SourceRange, error, warning
from dstream.engine.evaluate.coercion import converted
from dstream.engine.evaluate.desired import split_sensitive
from dstream.engine.evaluate.json_schema import alternatives_of, missing_names, problems_of
from dstream.engine.evaluate.source_paths import Path, name_range, value_range
from dstream.engine.setup.block_graph import provider_of
from dstream.lang.patterns import PatternError
from dstream.plugins import ProviderInfo, ResourceSchema

_QUOTED_REFERENCE = re.compile(r'"((?:local|var|each|count|path|dstream)\.[\w.-]+)"')
_FIRST_NAME = re.compile(r"[.\[]")


def check_resource(
    schema: ResourceSchema, values: Mapping[str, Any], sensitive: Collection[Path], block: ResourceBlock
) -> list[Diagnostic]:
    """Return the errors in the attributes of one instance of a block; see `check_arguments`."""
    needed = [name for name in schema.schema.get("required", ()) if name not in schema.computed]
    form = {**schema.schema, "required": needed}
    address = f"{block.type}.{block.name}"
    provider = provider_of(block)
    found = check_arguments(form, values, sensitive, block.body, block.type, provider=provider, address=address)
    return [*found, *_ignored_names(form, block, address)]


def _ignored_names(schema: Mapping[str, Any], block: ResourceBlock, address: str) -> Iterator[Diagnostic]:
    """Yield an error for each name in `ignore_changes` that no attribute has."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    if block.lifecycle.ignore_changes == "all" or schema.get("additionalProperties") is not False:
        return
    for text in block.lifecycle.ignore_changes:
        name = _FIRST_NAME.split(text, 1)[0]
        if name not in properties:
            yield _unknown_name(name, properties, block.range, f"ignore_changes of {block.type}", address)


def check_settings(config: Any, body: Body | None, info: ProviderInfo, *, address: str) -> list[Diagnostic]:
    """Return the errors in the configuration of a provider; see `check_arguments`."""
    if info.config_schema is None or body is None:
        return []
    values, sensitive = split_sensitive(converted(info.config_schema, config))
    what = f"The provider {info.name}"
    return check_arguments(info.config_schema, values, sensitive, body, what, provider=info.name, address=address)


def check_arguments(
    schema: Mapping[str, Any],
    values: Mapping[str, Any],
    sensitive: Collection[Path],
    body: Body,
    what: str,
    *,
    provider: str,
    address: str,
) -> list[Diagnostic]:
    """Return the errors in clear values (Unknown inside) by the schema, each with its range in `body`.

    A value at a path of `sensitive` is not shown. Deprecated names cause a warning. A pattern in the schema that is not
    a regular expression is an error of `provider`.
    """
    found: list[Diagnostic] = []
    properties: Mapping[str, Any] = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False
    for name, value in values.items():
        part = properties.get(name)
        if part is None:
            if closed:
                found.append(_unknown_name(name, properties, name_range(body, name), what, address))
            continue
        if value is None:
            continue
        try:
            problems = list(problems_of(part, value, (name,)))
        except PatternError as wrong:
            detail = (
                f"{provider}: the schema of {name} has a pattern that is not a regular expression of RE2 "
                f"(https://github.com/google/re2/wiki/Syntax): {wrong}. Report this to the authors of the provider."
            )
            found.append(error("Malformed provider description", detail, value_range(body, (name,)), address=address))
            continue
        for path, problem in problems:
            if any(path[: len(secret)] == secret for secret in sensitive):
                problem = "the value is sensitive, so it is not shown; it is not what this argument takes"
            detail = f"{_written(path)}: {problem}.{_unquoted(body, value_range(body, path))}"
            found.append(error("Wrong argument", detail, value_range(body, path), address=address))
        if part.get("deprecated") or ("x-alias-of" in part and name != name.lower()):
            newer = part.get("x-alias-of")
            detail = (
                f"{name} is an older name. Write {newer}." if newer else f"{name} will be removed in a later version."
            )
            found.append(warning("Deprecated name", detail, name_range(body, name), address=address))
    for path, problem in alternatives_of(schema, values, ()):
        detail = f"{what}: {problem}." if not path else f"{_written(path)}: {problem}."
        if sensitive:
            detail = f"{what}: the values do not fit the schema; some are sensitive, so none is shown."
        found.append(error("Wrong argument", detail, body.range, address=address))
    found.extend(
        error("Missing argument", f"{what} needs {names}.", body.range, address=address)
        for names in missing_names(schema, values)
    )
    return found


def _unquoted(body: Body, subject: SourceRange) -> str:
    """Return the hint for a value that is a reference in quotation marks, which makes it text."""
    match = _QUOTED_REFERENCE.fullmatch(body.source.text, subject.start.offset, subject.end.offset)
    return f" To refer to it, remove the quotation marks: {match[1]}." if match is not None else ""


def _written(path: Path) -> str:
    first, *rest = path
    return str(first) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)


def _unknown_name(
    name: str, properties: Mapping[str, Any], subject: SourceRange, what: str, address: str
) -> Diagnostic:
    import difflib

    near = difflib.get_close_matches(name, list(properties), n=1)
    known = sorted(each for each, part in properties.items() if "x-alias-of" not in part)
    hint = f"Did you mean {near[0]}?" if near else f"It takes: {', '.join(known) or 'nothing'}."
    return error("Unknown argument", f"{what} does not take {name}. {hint}", subject, address=address)
