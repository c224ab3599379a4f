"""Random edits of a configuration, as people make them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.tofu.configuration import TYPE, Block, Configuration, From, Literally, Own, Value

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
KEYS = ("x", "y", "z", "w")
LITERALS: tuple[object, ...] = ("one", "two", 1, 2, True, ["l", "m"], {"k": "v"}, "", [])


class Editor:
    """Edits one configuration with the dice of a seed."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.config = Configuration()
        self._serial = 0

    def add(self) -> None:
        """Add a block."""
        free = [name for name in NAMES if name not in self.config.blocks]
        if free:
            block = Block(self.dice.choice(free))
            self._repeat(block)
            block.input = self._value(block)
            if self.dice.random() < 0.35:
                block.triggers = self._value(block)
            for _ in range(self.dice.choice((0, 0, 1, 2))):
                self._lifecycle(block)
            if self.dice.random() < 0.3:
                self._depend(block)
            self.config.blocks[block.name] = block
            self._settle()

    def edit(self) -> None:
        """Make one random edit."""
        weighted: list[tuple[Callable[[], None], int]] = [
            (self.add, 3), (self._remove, 3), (self._change_input, 6), (self._change_triggers, 4),
            (self._change_repetition, 6), (self._rename, 3), (self._move_instance, 3), (self._change_lifecycle, 8),
            (self._change_dependency, 3), (self._import, 2), (self._forget, 2), (self._fail, 4),
            (self._mend, 3), (self._reorder, 1), (self._output, 2), (self._tidy, 2),
        ]  # fmt: skip
        action = self.dice.choices([each for each, _ in weighted], [weight for _, weight in weighted])[0]
        action()
        self._settle()

    # -- one kind of edit each -------------------------------------------------------------------------

    def _pick(self) -> Block | None:
        return self.dice.choice(list(self.config.blocks.values())) if self.config.blocks else None

    def _earlier(self, block: Block) -> list[str]:
        names = list(self.config.blocks)
        return names[: names.index(block.name)] if block.name in names else names

    def _value(self, block: Block) -> Value | None:
        earlier = self._earlier(block)
        kind = self.dice.random()
        if earlier and kind < 0.45:
            return From(self.dice.choice(earlier), self.dice.choice(("output", "output", "input", "id")))
        if kind < 0.65:
            self._serial += 1
            return Own(f"own{self._serial if self.dice.random() < 0.5 else 0}")
        return None if kind < 0.7 else Literally(self.dice.choice(LITERALS))

    def _repeat(self, block: Block) -> None:
        block.count = block.keys = None
        kind = self.dice.random()
        if kind < 0.3:
            block.count = self.dice.choice((0, 1, 1, 2, 3))
        elif kind < 0.6:
            block.keys = tuple(self.dice.sample(KEYS, self.dice.choice((0, 1, 2, 2, 3))))

    def _remove(self) -> None:
        if (block := self._pick()) and len(self.config.blocks) > 1:
            self._drop(block.name)

    def _drop(self, name: str) -> None:
        del self.config.blocks[name]
        for other in self.config.blocks.values():
            other.forget(name)
        self.config.outputs = [each for each in self.config.outputs if each[1] != name]
        prefix = f"{TYPE}.{name}"
        self.config.imports = [each for each in self.config.imports if each[0].partition("[")[0] != prefix]

    def _change_input(self) -> None:
        if block := self._pick():
            block.input = self._value(block)

    def _change_triggers(self) -> None:
        if block := self._pick():
            block.triggers = self._value(block)

    def _change_repetition(self) -> None:
        if not (block := self._pick()):
            return
        if block.count is not None and self.dice.random() < 0.6:
            block.count = self.dice.choice((0, 1, 2, 3))
        elif block.keys is not None and self.dice.random() < 0.6:
            block.keys = tuple(self.dice.sample(KEYS, self.dice.choice((1, 2, 3))))
        else:
            self._repeat(block)

    def _rename(self) -> None:
        """Rename a block, mostly with `moved`, sometimes as the middle of a chain."""
        free = [name for name in NAMES if name not in self.config.blocks]
        if not (block := self._pick()) or not free:
            return
        for _ in range(self.dice.choice((1, 1, 2))):
            if not free:
                break
            old, new = block.name, free.pop(self.dice.randrange(len(free)))
            self._renamed(block, new)
            if self.dice.random() < 0.85:
                self.config.moved.insert(
                    self.dice.randint(0, len(self.config.moved)), (f"{TYPE}.{old}", f"{TYPE}.{new}")
                )

    def _renamed(self, block: Block, new: str) -> None:
        old, config = block.name, self.config
        block.name = new
        config.blocks = {each.name: each for each in config.blocks.values()}
        for other in config.blocks.values():
            for name in ("input", "triggers"):
                value = getattr(other, name)
                if isinstance(value, From) and value.block == old:
                    setattr(other, name, From(new, value.attribute))
            other.depends_on = tuple(new if each == old else each for each in other.depends_on)
            other.triggered_by = tuple((new if name == old else name, rest) for name, rest in other.triggered_by)
            if other.expected and other.expected[0] == old:
                other.expected = (new, other.expected[1])
        config.outputs = [(name, new if each == old else each) for name, each in config.outputs]
        config.imports = [(address.replace(f"{TYPE}.{old}", f"{TYPE}.{new}"), id_) for address, id_ in config.imports]

    def _move_instance(self) -> None:
        """Change the repetition of a block, and move its objects, or some, to the new instances."""
        if not (block := self._pick()):
            return
        before = block.instances
        self._repeat(block)
        after = block.instances
        gone, fresh = [each for each in before if each not in after], [each for each in after if each not in before]
        self.dice.shuffle(fresh)
        for old, new in zip(gone, fresh, strict=False):
            if self.dice.random() < 0.8:
                self.config.moved.append((old, new))

    def _change_lifecycle(self) -> None:
        if block := self._pick():
            self._lifecycle(block)

    def _lifecycle(self, block: Block) -> None:
        kind = self.dice.choice(("first", "first", "prevent", "ignore", "ignore", "trigger", "trigger", "none"))
        earlier = self._earlier(block)
        if kind == "first":
            block.create_before_destroy = not block.create_before_destroy
        elif kind == "prevent":
            block.prevent_destroy = not block.prevent_destroy
        elif kind == "ignore":
            choices: tuple[Any, ...] = ((), ("input",), ("triggers_replace",), ("input", "triggers_replace"), "all")
            block.ignore = self.dice.choice(choices)
        elif kind == "trigger" and earlier:
            name = self.dice.choice(earlier)
            other = self.config.blocks[name]
            single = other.instances[0].removeprefix(f"{TYPE}.{name}") if other.instances else ""
            rest = self.dice.choice(("", single, f"{single}.input", f"{single}.output", f"{single}.id"))
            block.triggered_by = ((name, rest),) if other.instances or not rest else ((name, ""),)
        else:
            block.create_before_destroy = block.prevent_destroy = False
            block.ignore, block.triggered_by = (), ()

    def _change_dependency(self) -> None:
        if block := self._pick():
            self._depend(block)

    def _depend(self, block: Block) -> None:
        earlier = self._earlier(block)
        self.dice.shuffle(earlier)
        block.depends_on = tuple(earlier[: self.dice.choice((0, 1, 1, 2))])

    def _import(self) -> None:
        """Add a block, and import what it declares."""
        before = set(self.config.blocks)
        self.add()
        for name in self.config.blocks.keys() - before:
            for address in self.config.blocks[name].instances:
                if self.dice.random() < 0.7:
                    self._serial += 1
                    self.config.imports.append((address, f"imported-{self._serial}"))

    def _forget(self) -> None:
        """Remove a block, and say with `removed` what happens to its objects."""
        if (block := self._pick()) and len(self.config.blocks) > 1:
            self._drop(block.name)
            self.config.removed.append((block.name, self.dice.random() < 0.3))

    def _fail(self) -> None:
        """Make a change that is refused by a condition, most often only during the apply."""
        if not (block := self._pick()):
            return
        self._serial += 1
        value = f"bad{self._serial}"
        block.input = Literally(value)
        later = [each for each in self.config.blocks.values() if block.name in self._earlier(each)]
        if later and self.dice.random() < 0.4:
            self.dice.choice(later).expected = (block.name, value)
        else:
            block.refused = value

    def _mend(self) -> None:
        for block in self.config.blocks.values():
            if block.refused is not None and self.dice.random() < 0.7:
                block.refused = None
            if self.dice.random() < 0.7:
                block.expected = None
            if self.dice.random() < 0.5:
                block.prevent_destroy = False

    def _reorder(self) -> None:
        """Let dependencies run in other directions."""
        blocks = list(self.config.blocks.values())
        self.dice.shuffle(blocks)
        self.config.blocks = {block.name: block for block in blocks}
        for block in blocks:
            for name in block.needs - set(self._earlier(block)):
                block.forget(name)

    def _output(self) -> None:
        if self.config.outputs and self.dice.random() < 0.4:
            self.config.outputs.pop()
        elif block := self._pick():
            self._serial += 1
            self.config.outputs.append((f"o{self._serial}", block.name))

    def _tidy(self) -> None:
        self.config.moved, self.config.removed, self.config.imports = [], [], []

    def _settle(self) -> None:
        """Make the text valid again: what an edit leaves behind that both refuse for its form alone."""
        config = self.config
        declared = {each for block in config.blocks.values() for each in block.instances}
        config.imports = [each for each in config.imports if each[0] in declared]
        config.removed = [each for each in config.removed if each[0] not in config.blocks]
        for block in config.blocks.values():
            kept = []
            for name, rest in block.triggered_by:
                other = config.blocks[name]
                single = rest.partition(".")[0]
                if other.instances and (not rest or f"{TYPE}.{name}{single}" in other.instances):
                    kept.append((name, rest))
            block.triggered_by = tuple(kept)
