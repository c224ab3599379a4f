"""Random expressions by seed: of the kind that is asked for, mostly, with one of another kind now and then."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PER_SEED = 50
_OTHER_KIND = 0.03
"""How often an expression of another kind stands where one of this kind is asked for."""
_SHORT = 0.15
"""How often an expression ends before its greatest depth."""
_PART = re.compile(r"<([a-z]+)>")
_SIMPLE = re.compile(r'[\[{"].*|local\.\w+(\.\w+)*|[\w.]+|\w+\(.*\)', re.DOTALL)


def expressions(seed: int) -> list[str]:
    """Return the expressions of a seed."""
    dice = random.Random(f"language {seed}")
    kinds = list(_shapes())
    return [_make(dice, dice.choice(kinds), dice.choice((1, 2, 2, 3))) for _ in range(PER_SEED)]


@cache
def _shapes() -> Mapping[str, tuple[str, ...]]:
    """Return the shapes of each kind."""
    found: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "grammar.txt").read_text("utf-8").splitlines()[1:]:
        kind, _, shape = line.partition(": ")
        found.setdefault(kind, []).append(shape)
    return {kind: tuple(shapes) for kind, shapes in found.items()}


def _make(dice: random.Random, kind: str, depth: int) -> str:
    """Return an expression of a kind with so many levels at most."""
    if dice.random() < _OTHER_KIND:
        kind = dice.choice(list(_shapes()))
    short = depth <= 0 or dice.random() < _SHORT
    shapes = [shape for shape in _shapes()[kind] if (_PART.search(shape) is None) == short]
    return _PART.sub(lambda part: _operand(_make(dice, part[1], depth - 1)), dice.choice(shapes))


def _operand(text: str) -> str:
    """Return an expression that can be an operand."""
    return text if _SIMPLE.fullmatch(text) and not re.search(r"[)\]}\"] [-+*/%<>=!&|?]", text) else f"({text})"
