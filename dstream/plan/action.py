"""Action: the action of a plan on one object, and its symbol."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """The action on an object; the values are those of the JSON form."""

    NO_OP = "no-op"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "delete-then-create"
    CREATE_THEN_DELETE = "create-then-delete"
    DELETE = "delete"
    FORGET = "forget"
    DEFERRED = "deferred"

    @property
    def symbol(self) -> str:
        """The mark in front of the object in a printed plan."""
        return _SYMBOLS[self]

    @property
    def replaces(self) -> bool:
        """Whether the object is replaced, in either order."""
        return self in (Action.REPLACE, Action.CREATE_THEN_DELETE)

    @property
    def destroys(self) -> bool:
        """Whether an existing object is destroyed."""
        return self is Action.DELETE or self.replaces

    @property
    def steps(self) -> list[str]:
        """The action as Terraform's plan representation lists it, such as ["delete", "create"]."""
        if self is Action.REPLACE:
            return ["delete", "create"]
        if self is Action.CREATE_THEN_DELETE:
            return ["create", "delete"]
        return [str(self)]


_SYMBOLS = {
    Action.NO_OP: " ",
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.REPLACE: "-/+",
    Action.CREATE_THEN_DELETE: "+/-",
    Action.DELETE: "-",
    Action.FORGET: ".",
    Action.DEFERRED: "?",
}
