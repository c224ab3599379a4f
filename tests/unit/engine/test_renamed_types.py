"""Types that a task names otherwise: the warning says what is replaced, and which alias prevents it."""

import pytest

from dstream.engine.plan.renamed_types import warn_of_renamed_types
from dstream.plan import Action, Change, Reason

OLD = 'task.copy.output.acme_stuff_Thing["one"]'


def gone(address: str = OLD, reason: Reason = Reason.NOT_WANTED_BY_TASK) -> Change:
    return Change(address, Action.DELETE, "task.copy.output", "acme_stuff_Thing", key="one", reason=reason)


def made(address: str, action: Action = Action.CREATE) -> Change:
    return Change(address, action, "task.copy.output", "acme_stuff_GoodThing", key="one")


def warned(*changes: Change) -> list[str]:
    return [str(each.address) for each in warn_of_renamed_types({each.address: each for each in changes}, {})]


def test_an_object_that_comes_back_under_another_type_is_told_with_the_alias() -> None:
    new = made('task.copy.output.acme_stuff_GoodThing["one"]')
    [found] = warn_of_renamed_types({each.address: each for each in (gone(), new)}, {})
    assert found.address == new.address and OLD in found.detail
    assert 'Alias(type_="acme_stuff_Thing")' in found.detail
    assert 'aliases=[("acme_stuff_Thing", "one")]' in found.detail


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (gone(), made('task.copy.output.acme_stuff_GoodThing["two"]')),
        (gone(), made('task.copy.output["audit"].acme_stuff_GoodThing["one"]')),
        (gone(), made('task.other.output.acme_stuff_GoodThing["one"]')),
        (gone(), made('task.copy.output.other_Thing["one"]')),
        (gone(), made('task.copy.output.acme_stuff_GoodThing["one"]', Action.UPDATE)),
        (gone(reason=Reason.RELEASED), made('task.copy.output.acme_stuff_GoodThing["one"]')),
        (gone("acme_stuff_Thing.one"), made("acme_stuff_GoodThing.one")),
    ],
    ids=["key", "output", "task", "provider", "not created", "released", "no task"],
)
def test_what_only_looks_alike_is_not(old: Change, new: Change) -> None:
    assert warned(old, new) == []
