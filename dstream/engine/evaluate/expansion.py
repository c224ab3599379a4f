"""Expansion: `for_each` and `count` turn one block into instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from dstream.addresses import Key
from dstream.config import Expr, TaskBlock
from dstream.config.lookalikes import look
from dstream.diagnostics import DiagnosticsError, error
from dstream.lang import Scope, SetValue, Unknown, contains_unknown, evaluate, sensitive_paths

_LONGEST_KEY = 200
_NOT_KNOWN = (
    "What it depends on is known only after apply, so the instances cannot be told yet. Give it keys that are known "
    "at plan, or apply what it depends on first: dstream apply -target=ADDRESS."
)


def instances(for_each: Expr | None, count: Expr | None, scope: Scope) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield the key of each instance of a block, and the names (`each`, `count`) that its body can use.

    Raise DiagnosticsError where for_each or count is unknown, sensitive, null or of a wrong type.
    """
    if for_each is not None:
        for key, value in _each(for_each, scope).items():
            yield key, {"each": {"key": key, "value": value}}
    elif count is not None:
        for index in range(_count(count, scope)):
            yield index, {"count": {"index": index}}
    else:
        yield None, {}


def task_instances(task: TaskBlock, scope: Scope) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield the instances of a task as `instances` does.

    Raise DiagnosticsError also for keys that look alike and for long ones: they become names of files.
    """
    looks: dict[str, str] = {}
    for key, names in instances(task.for_each, task.count, scope):
        if isinstance(key, str) and task.for_each is not None:
            alike = looks.setdefault(look(key, fold_case=True), key)
            if alike != key:
                detail = (
                    f"The keys {alike!a} and {key!a} of task.{task.name} look alike, or differ in case alone, which "
                    "some file systems ignore: their checkpoints would be mixed up. Give one of them another key."
                )
                raise DiagnosticsError(error("Names that look alike", detail, task.for_each.range))
            if len(quote(f"{task.name}{key}", safe="")) > _LONGEST_KEY:
                detail = (
                    f"The key {key[:40]!r}... of task.{task.name} is too long: the names of its checkpoint and log are "
                    f"made of it, and have at most {_LONGEST_KEY} characters, three for each special one. Use a "
                    "shorter key, such as md5(...) of it."
                )
                raise DiagnosticsError(error("Wrong for_each", detail, task.for_each.range))
        yield key, names


class InstanceNames:
    """The names (`each`, `count`) of the instances of one block, by key, evaluated once in each scope.

    In the scope of an apply more values are known than in that of its plan: when the first instance is evaluated there,
    all dependencies of the block are done.
    """

    def __init__(self, for_each: Expr | None, count: Expr | None) -> None:
        """Take the two arguments of the block."""
        self._for_each, self._count = for_each, count
        self._scope: Scope | None = None
        self._names: dict[Key, dict[str, Any]] = {}

    def of(self, scope: Scope) -> Mapping[Key, dict[str, Any]]:
        """Return the names by key, in order; raises as `instances`."""
        if self._scope is not scope:
            self._names = dict(instances(self._for_each, self._count, scope))
            self._scope = scope
        return self._names


def lenient_instances(for_each: Expr | None, count: Expr | None, scope: Scope) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield instances as `instances` does; if they are unknown, one that stands for all."""
    expr = for_each if for_each is not None else count
    if expr is not None and contains_unknown(evaluate(expr, scope)):
        unknown = Unknown()
        names = ("key", "value") if for_each is not None else ("index",)
        yield None, {"each" if for_each is not None else "count": dict.fromkeys(names, unknown)}
    else:
        yield from instances(for_each, count, scope)


def _each(expr: Expr, scope: Scope) -> Mapping[str, Any]:
    value = evaluate(expr, scope)
    _refuse_sensitive("for_each", value, expr)
    if isinstance(value, SetValue):
        items = list(value)
        if contains_unknown(items):
            raise DiagnosticsError(error("Unknown for_each", _NOT_KNOWN, expr.range))
        for item in items:
            if not isinstance(item, str):
                raise DiagnosticsError(
                    error(
                        "Wrong for_each",
                        "A set for for_each holds texts only, since they become keys of addresses. "
                        "Use [for x in ... : tostring(x)] inside toset().",
                        expr.range,
                    )
                )
        return {item: item for item in items}
    if isinstance(value, Mapping):
        return value
    if contains_unknown(value):
        raise DiagnosticsError(error("Unknown for_each", _NOT_KNOWN, expr.range))
    what = "null" if value is None else "a list" if isinstance(value, list | tuple) else "a single value"
    hint = (
        f" Make it a set, whose elements become the keys: for_each = toset({expr.text})."
        if isinstance(value, list | tuple)
        else ""
    )
    raise DiagnosticsError(
        error("Wrong for_each", f"for_each takes a map or a set of texts, not {what}.{hint}", expr.range)
    )


def _count(expr: Expr, scope: Scope) -> int:
    value = evaluate(expr, scope)
    _refuse_sensitive("count", value, expr)
    if contains_unknown(value):
        raise DiagnosticsError(error("Unknown count", _NOT_KNOWN, expr.range))
    try:
        number = int(value)
        if isinstance(value, bool) or (number != value and str(number) != value) or number < 0:
            raise ValueError
    except (TypeError, ValueError):
        raise DiagnosticsError(error("Wrong count", "count is a whole number, 0 or more.", expr.range)) from None
    return number


def _refuse_sensitive(what: str, value: Any, expr: Expr) -> None:
    from dstream.lang import Sensitive

    if isinstance(value, Sensitive) or (what == "count" and sensitive_paths(value)):
        raise DiagnosticsError(
            error(
                "Sensitive count" if what == "count" else "Sensitive for_each",
                f"The value of {what} is sensitive; it would show in addresses and plans. "
                f"If the keys are not secret, write {what} = nonsensitive({expr.text}).",
                expr.range,
            )
        )
