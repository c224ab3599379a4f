"""Ignore rules: expected differences from the state, with an owner and an expiry date, from `ignore` blocks.

    dstream {
      drift {
        ignore {
          address    = "azure_queue.orders"    # an object, a block, a task, or with * a pattern; or a list of them
          attributes = ["tags", "limits.max"]  # all, if left out
          owner      = "platform@example.com"
          expires    = "2026-12-31"            # the last day that it holds, in UTC
          reason     = "a policy of the cloud adds tags"
        }
      }
    }

A rule hides changes of attributes. It never hides that an object is missing or unreachable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from msgspec import Struct

from dstream.config import Block, Config, Expr
from dstream.diagnostics import Diagnostic, DiagnosticsError, SourceRange, error
from dstream.engine.refresh.moved_blocks import within
from dstream.lang.patterns import compile_pattern
from dstream.registry.hcl_literal import literal

Place = tuple[str, ...]
"""The path of an attribute or of a part of it."""
_TEXTS = ("owner", "expires", "reason")
_KNOWN = ("address", "attributes", *_TEXTS)


class IgnoreRule(Struct, frozen=True):
    """One `ignore` block."""

    addresses: tuple[str, ...]
    paths: tuple[Place, ...]
    """The attributes whose changes are expected; all attributes if empty."""
    owner: str
    expires: date
    reason: str
    range: SourceRange

    def covers(self, address: str) -> bool:
        """Return whether the rule matches an address."""
        return any(_matches(pattern, address) for pattern in self.addresses)

    def expired(self, today: date) -> bool:
        """Return whether the rule has expired."""
        return today > self.expires

    def applied(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the attributes `after`, with those that the rule covers taken from `before`."""
        if not self.paths:
            return before
        result: Mapping[str, Any] = after
        for place in self.paths:
            result = _as_before(before, result, place)
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON values."""
        return {
            "address": list(self.addresses),
            "attributes": [".".join(place) for place in self.paths],
            "owner": self.owner,
            "expires": self.expires.isoformat(),
            "reason": self.reason,
        }


def ignore_rules(config: Config) -> tuple[IgnoreRule, ...]:
    """Return the rules of a configuration in order; raise DiagnosticsError with all errors in them.

    Their values are literals: what is expected must not depend on variables.
    """
    drift = config.settings.drift if config.settings is not None else None
    if drift is None:
        return ()
    problems: list[Diagnostic] = []
    for name, attribute in drift.body.attributes.items():
        problems.append(error("Invalid drift block", f"drift takes ignore blocks, not {name}.", attribute.range))
    rules = []
    for block in drift.body.blocks:
        if block.type != "ignore" or block.labels:
            detail = f"drift takes blocks that are written ignore {{ ... }}, not {block.type}."
            problems.append(error("Invalid drift block", detail, block.header_range))
            continue
        try:
            rules.append(_rule(block))
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return tuple(rules)


def _rule(block: Block) -> IgnoreRule:
    values = {name: _plain(each.expr) for name, each in block.body.attributes.items()}
    texts = {name: values.get(name, "") for name in _TEXTS}
    addresses, attributes = _list(values.get("address")), _list(values.get("attributes", []))
    wrong = [f"it has no argument {name}" for name in values if name not in _KNOWN]
    wrong += [f"it takes no block {inner.type}" for inner in block.body.blocks]
    if not addresses:
        wrong.append('address is a text, or a list of texts, such as "azure_queue.orders" or "task.copy.*"')
    if attributes is None or (not attributes and "attributes" in values):
        wrong.append('attributes is a list of names, such as ["tags"]')
    wrong += [f"{name} is a plain text" for name, text in texts.items() if not isinstance(text, str)]
    if not texts["owner"]:
        wrong.append("owner says who answers for it")
    expires = _day(texts["expires"])
    if expires is None:
        wrong.append('expires is the last day that it holds, such as "2026-12-31"')
    if wrong or expires is None or addresses is None or attributes is None:
        raise DiagnosticsError(error("Invalid ignore rule", f"{'; '.join(wrong)}.".capitalize(), block.header_range))
    paths = tuple(tuple(name.split(".")) for name in attributes)
    return IgnoreRule(tuple(addresses), paths, texts["owner"], expires, texts["reason"], block.header_range)


def _plain(expr: Expr) -> Any:
    try:
        return literal(expr)
    except DiagnosticsError:
        detail = "A rule holds plain values: what is expected must not depend on variables of whoever looks."
        raise DiagnosticsError(error("Invalid ignore rule", detail, expr.range)) from None


def _list(value: object) -> list[str] | None:
    texts = [value] if isinstance(value, str) else value
    right = isinstance(texts, list) and all(isinstance(text, str) and text for text in texts)
    return texts if right and isinstance(texts, list) else None


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _matches(pattern: str, address: str) -> bool:
    if "*" not in pattern:
        return within(address, pattern)
    inner = ".*".join(map(re.escape, pattern.split("*")))
    return compile_pattern(rf"(?s){inner}(?:[.\[].*)?").fullmatch(address) is not None


def _as_before(before: Mapping[str, Any], after: Mapping[str, Any], place: Place) -> Mapping[str, Any]:
    """Return `after` with the value at one path taken from `before`."""
    name, rest = place[0], place[1:]
    left, right = before.get(name), after.get(name)
    result = dict(after)
    if rest and isinstance(left, Mapping) and isinstance(right, Mapping):
        result[name] = _as_before(left, right, rest)
    elif rest:
        return after  # The complete value was added or removed: that is more than the rule is about.
    elif name in before:
        result[name] = left
    else:
        result.pop(name, None)
    return result


def apply_ignore_rules(
    rules: Iterable[IgnoreRule], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the attributes `after` with the rules applied, for the comparison with `before`."""
    for rule in rules:
        after = rule.applied(before, after)
    return after
