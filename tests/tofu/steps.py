"""The steps of a seed: a configuration and the options of its apply, each after random edits of the one before."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.tofu.configuration import Configuration
from tests.tofu.edits import Editor


@dataclass(frozen=True)
class Step:
    """One apply."""

    text: str
    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    destroy: bool = False
    taint: tuple[str, ...] = ()
    """Objects that are marked as tainted before, if they exist."""
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The blocks that each block refers to."""
    needs_entirely: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Those that it refers to other than by an instance in `replace_triggered_by`."""
    needs_recorded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Those that it refers to other than in `replace_triggered_by`."""


def steps_of(seed: int) -> list[Step]:
    """Return the steps of a seed."""
    dice = random.Random(f"tofu {seed}")
    editor = Editor(dice)
    for _ in range(dice.choice((2, 3, 4, 5))):
        editor.add()
    found = [_with_needs(Step(editor.config.text()), editor.config)]
    for _ in range(dice.choice((3, 4, 5))):
        instances = _instances(editor.config)
        for _ in range(dice.choice((0, 1, 1, 2, 3))):
            editor.edit()
        found.append(_with_needs(_step(editor.config, instances, dice), editor.config))
    return found


def _with_needs(step: Step, config: Configuration) -> Step:
    return replace(
        step,
        needs={block.name: tuple(sorted(block.needs)) for block in config.blocks.values()},
        needs_entirely={block.name: tuple(sorted(block.needs_entirely)) for block in config.blocks.values()},
        needs_recorded={block.name: tuple(sorted(block.needs_recorded)) for block in config.blocks.values()},
    )


def _instances(config: Configuration) -> list[str]:
    return [each for block in config.blocks.values() for each in block.instances]


def _step(config: Configuration, before: list[str], dice: random.Random) -> Step:
    text, declared = config.text(), _instances(config)
    stay = [each for each in before if each in declared]
    kind = dice.random()
    blocks = [f"terraform_data.{name}" for name in config.blocks]
    if config.moved:
        kind = 1 - kind / 2
    if kind < 0.12 and declared:
        return Step(text, targets=tuple(dice.sample(blocks + declared, dice.choice((1, 1, 2)))))
    if kind < 0.22 and declared:
        return Step(text, exclude=tuple(dice.sample(blocks + declared, 1)))
    if kind < 0.32 and stay:
        return Step(text, replace=tuple(dice.sample(stay, 1)))
    if kind < 0.4 and stay:
        return Step(text, taint=tuple(dice.sample(stay, 1)))
    if kind < 0.45:
        return Step(text, destroy=True)
    return Step(text)
