"""Rules of subscriptions: which messages of the topic a subscription gets a copy of.

A subscription is made with the rule `$Default`, which takes everything; a message that several rules take comes once
(rules with actions are not here). Of the language of SQL filters: comparisons, IN, LIKE, IS NULL, EXISTS, AND, OR, NOT.
A comparison with a property that is not there is unknown, which is no match.

Sources: https://learn.microsoft.com/azure/service-bus-messaging/topic-filters,
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-messaging-sql-filter.
"""

from __future__ import annotations

import operator
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.services.azure.messages import Message
from tests.services.azure.model import Entity, Refused

DEFAULT = "$Default"
SCHEMA = "{http://schemas.microsoft.com/netservices/2010/10/servicebus/connect}"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
Predicate = Callable[[Message], bool | None]
_TOKEN = re.compile(r"\s*(?:(N?'(?:[^']|'')*')|(-?\d+(?:\.\d+)?)|([A-Za-z_][\w.]*|\[[^\]]+\])|(<>|!=|<=|>=|[=<>(),]))")
_COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_CORRELATED = {
    "CorrelationId": "sys.correlationid",
    "MessageId": "sys.messageid",
    "Label": "sys.label",
    "SessionId": "sys.sessionid",
    "ContentType": "sys.contenttype",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its filter as it was sent, and what it means."""

    name: str
    filter: str
    """The XML of the filter."""
    takes: Predicate


def default_rule() -> Rule:
    """Return the rule with which a subscription begins."""
    text = (
        f'<Filter xmlns="{SCHEMA[1:-1]}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="TrueFilter">'
        "<SqlExpression>1=1</SqlExpression></Filter>"
    )
    return Rule(DEFAULT, text, lambda message: True)


def rules_of(subscription: Entity) -> dict[str, Rule]:
    """Return the rules of a subscription by name."""
    if subscription.rules is None:
        subscription.rules = {DEFAULT: default_rule()}
    return subscription.rules


def takes(subscription: Entity, message: Message) -> bool:
    """Return whether a subscription gets a copy of a message."""
    return any(rule.takes(message) for rule in rules_of(subscription).values())


def rule_of(name: str, description: ET.Element) -> Rule:
    """Return the rule that a RuleDescription describes. Raises Refused for a filter that does not parse."""
    found = description.find(f"{SCHEMA}Filter")
    if found is None:
        return Rule(name, default_rule().filter, lambda message: True)
    kind = str(found.get(_TYPE) or "SqlFilter")
    text = ET.tostring(found, encoding="unicode")
    if kind == "CorrelationFilter":
        return Rule(name, text, _correlation(found))
    if kind in ("TrueFilter", "FalseFilter"):
        return Rule(name, text, lambda message: kind == "TrueFilter")
    expression = found.findtext(f"{SCHEMA}SqlExpression") or ""
    try:
        return Rule(name, text, _Parser(expression).whole())
    except ValueError as problem:
        raise Refused(400, "BadRequest", f"SubCode=40000. Filter '{expression}' is not valid: {problem}") from None


def value_of(message: Message, name: str) -> Any:
    """Return a property by its name in a filter: `sys.` ones of the message, others of the application."""
    lower = name.lower()
    own = {
        "sys.messageid": message.message_id,
        "sys.sessionid": message.session_id,
        "sys.label": message.subject,
        "sys.contenttype": message.content_type,
        "sys.correlationid": message.properties[5] if len(message.properties) > 5 else None,
    }
    if lower.startswith("sys."):
        return own.get(lower)
    return message.application_properties.get(name.removeprefix("user."))


def _correlation(found: ET.Element) -> Predicate:
    wanted: dict[str, Any] = {}
    for each in found:
        tag = each.tag.removeprefix(SCHEMA)
        if tag in _CORRELATED and each.text:
            wanted[_CORRELATED[tag]] = each.text
        elif tag == "Properties":
            for pair in each:
                key, value = pair.findtext(f"{SCHEMA}Key"), pair.findtext(f"{SCHEMA}Value")
                wanted[str(key)] = value
    return lambda message: all(str(value_of(message, name)) == value for name, value in wanted.items())


class _Parser:
    """Recursive descent over the tokens of an expression."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"unexpected {text[at:].strip()[:10]!r}")
            kind = ("text", "number", "name", "sign")[(found.lastindex or 1) - 1]
            self._tokens.append((kind, str(found[found.lastindex or 1])))
            at = found.end()

    def whole(self) -> Predicate:
        """Return what the whole expression means."""
        made = self._any()
        if self._tokens:
            raise ValueError(f"unexpected {self._tokens[0][1]!r}")
        return made

    def _word(self, *words: str) -> bool:
        """Take the next token if it is one of some words or signs."""
        if self._tokens and self._tokens[0][0] in ("name", "sign") and self._tokens[0][1].upper() in words:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._word(sign):
            raise ValueError(f"{sign} is missing")

    def _any(self) -> Predicate:
        sides = [self._all()]
        while self._word("OR"):
            sides.append(self._all())
        return sides[0] if len(sides) == 1 else lambda message: any(side(message) for side in sides)

    def _all(self) -> Predicate:
        sides = [self._one()]
        while self._word("AND"):
            sides.append(self._one())
        return sides[0] if len(sides) == 1 else lambda message: all(side(message) for side in sides)

    def _one(self) -> Predicate:
        if self._word("NOT"):
            inner = self._one()
            return lambda message: None if (found := inner(message)) is None else not found
        if self._word("("):
            made = self._any()
            self._expect(")")
            return made
        if self._word("EXISTS"):
            self._expect("(")
            name = self._tokens.pop(0)[1].strip("[]")
            self._expect(")")
            return lambda message: value_of(message, name) is not None
        return self._comparison(self._operand())

    def _comparison(self, left: Callable[[Message], Any]) -> Predicate:
        if self._word("IS"):
            negated = self._word("NOT")
            self._expect("NULL")
            return lambda message: (left(message) is None) != negated
        negated = self._word("NOT")
        if self._word("IN"):
            self._expect("(")
            choices = [self._operand()]
            while self._word(","):
                choices.append(self._operand())
            self._expect(")")
            return _known(left, lambda value, message: (value in [each(message) for each in choices]) != negated)
        if self._word("LIKE"):
            pattern = self._operand()
            return _known(left, lambda value, message: _like(str(value), str(pattern(message))) != negated)
        if negated or not self._tokens or self._tokens[0][1] not in _COMPARE:
            raise ValueError("a comparison is missing")
        compare, right = _COMPARE[self._tokens.pop(0)[1]], self._operand()
        return _known(left, lambda value, message: _compared(compare, value, right(message)))

    def _operand(self) -> Callable[[Message], Any]:
        if not self._tokens or self._tokens[0][0] == "sign":
            raise ValueError("an operand is missing")
        kind, text = self._tokens.pop(0)
        if kind == "name":
            return lambda message: value_of(message, text.strip("[]"))
        value: Any = float(text) if kind == "number" else text.removeprefix("N")[1:-1].replace("''", "'")
        return lambda message: value


def _known(left: Callable[[Message], Any], then: Callable[[Any, Message], bool | None]) -> Predicate:
    """Return a predicate that is unknown where its left side is not there."""
    return lambda message: None if (value := left(message)) is None else then(value, message)


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool | None:
    return None if right is None or isinstance(left, str) != isinstance(right, str) else compare(left, right)


def _like(text: str, pattern: str) -> bool:
    parts = {"%": ".*", "_": "."}
    return re.fullmatch("".join(parts.get(char, re.escape(char)) for char in pattern), text, re.DOTALL) is not None
