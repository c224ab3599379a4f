"""The objects that blocks depend on are found through locals, and once for each block."""

import random
from collections import Counter

from dstream.engine.setup.block_graph import ObjectDependencies


class Counted(dict):
    """Needs that count how often each block is asked for."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = Counter()

    def get(self, name, default=None):
        self.asked[name] += 1
        return super().get(name, default)


def reached(needs, block):
    """The definition: what a search through locals and providers finds."""
    found, seen, pending = set(), set(), list(needs[block])
    while pending:
        name = pending.pop()
        if name in seen or name not in needs:
            continue
        seen.add(name)
        if name.startswith(("local.", "var.", "provider.")):
            pending.extend(needs[name])
        else:
            found.add(name)
    return tuple(sorted(found))


def test_they_are_what_a_search_through_locals_finds():
    dice = random.Random(7)
    for _ in range(60):
        kinds = ("local", "type", "task", "provider", "var")
        names = [f"{dice.choice(kinds)}.b{number}" for number in range(dice.randrange(1, 25))]
        needs = {
            name: tuple(dice.sample([*names[:place], "gone.x"], min(place, dice.randrange(4))))
            for place, name in enumerate(names)
        }
        dependencies = ObjectDependencies(needs)
        for name in dice.sample(names, len(names)):
            assert dependencies.of(name) == reached(needs, name)


def test_a_chain_of_locals_is_followed_once():
    many = 3_000
    needs = Counted({f"local.a{number}": (f"local.a{number - 1}",) for number in range(1, many)})
    needs |= {"local.a0": ("thing.x",), "thing.x": ()}
    dependencies = ObjectDependencies(needs)
    assert all(dependencies.of(f"local.a{number}") == ("thing.x",) for number in range(many))
    assert max(needs.asked.values()) <= 4


def test_a_cycle_does_not_end_in_a_loop():
    dependencies = ObjectDependencies({"local.a": ("local.b",), "local.b": ("local.a", "thing.x"), "thing.x": ()})
    assert "thing.x" in dependencies.of("local.a")
