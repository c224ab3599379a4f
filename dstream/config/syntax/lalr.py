"""LALR engine: runs the table over tokens, and calls a builder method for each completed rule.

lark can run its table itself; this loop does the same without building a tree and without importing lark, which is
most of the time that a short configuration takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dstream.config.syntax.grammar import table
from dstream.config.syntax.tokens import END, Token

Build = Callable[[list[Any]], Any]
"""Builds a node from the parts of a rule: tokens, and the nodes of inner rules."""


class ParseError(Exception):
    """No rule allows a token at its position."""

    def __init__(self, index: int, token: Token, expected: frozenset[str], finished: list[Any]) -> None:
        """Take the token and its index, the terminals allowed there, and the completed parts."""
        self.index = index
        self.token = token
        self.expected = expected
        self.finished = finished
        super().__init__(f"unexpected token {index}")


class _Splice(list[Any]):
    """Parts that become parts of the enclosing rule."""


def run(tokens: Iterable[Token], start: str, builders: Mapping[str, Build]) -> Any:
    """Parse tokens from a start symbol, and return the result of its builder; raise ParseError.

    `builders` maps the name of a rule to its builder; a rule without one returns its only part, or the list of several.
    """
    lalr = table()
    actions, gotos = lalr.actions, lalr.gotos
    rules = [(rule.origin, rule.size, rule.splices, rule.passes, builders.get(rule.name)) for rule in lalr.rules]
    end = lalr.ends[start]
    states = [lalr.starts[start]]
    values: list[Any] = []
    for index, token in enumerate(tokens):
        type_ = token.type
        while True:
            action = actions[states[-1]].get(type_)
            if action is None:
                raise ParseError(index, token, _expected(states, end), values)
            if action >= 0:
                states.append(action)
                values.append(token)
                break
            origin, size, splices, passes, build = rules[-1 - action]
            if size:
                parts = values[-size:]
                del values[-size:]
                del states[-size:]
            else:
                parts = []
            if splices:
                values.append(_splice(parts))
            else:
                if passes and size == 1:
                    made = parts[0]
                else:
                    for part in parts:
                        if type(part) is _Splice:
                            parts = _flat(parts)
                            break
                    made = build(parts) if build is not None else parts[0] if len(parts) == 1 else parts
                values.append(made)
            states.append(gotos[states[-1]][origin])
            if type_ == END and states[-1] == end:
                return values[-1]
    raise ValueError("the tokens have no end")


def _splice(parts: list[Any]) -> _Splice:
    # A repetition is left recursive: extending its first part keeps long ones linear.
    if parts and type(parts[0]) is _Splice:
        first: _Splice = parts[0]
        for part in parts[1:]:
            if type(part) is _Splice:
                first.extend(part)
            else:
                first.append(part)
        return first
    return _Splice(_flat(parts))


def _flat(parts: list[Any]) -> list[Any]:
    out: list[Any] = []
    for part in parts:
        if type(part) is _Splice:
            out.extend(part)
        else:
            out.append(part)
    return out


def _expected(states: list[int], end: int) -> frozenset[str]:
    """Return the terminals allowed next: those of the state that survive its reductions."""
    lalr = table()
    allowed = set()
    for type_ in lalr.actions[states[-1]]:
        stack = list(states[-200:])
        while True:
            action = lalr.actions[stack[-1]].get(type_)
            if action is None:
                break
            if action >= 0:
                allowed.add(type_)
                break
            rule = lalr.rules[-1 - action]
            if rule.size >= len(stack):
                allowed.add(type_)
                break
            if rule.size:
                del stack[-rule.size :]
            stack.append(lalr.gotos[stack[-1]][rule.origin])
            if stack[-1] == end and type_ == END:
                allowed.add(type_)
                break
    return frozenset(allowed)
