"""ResourceType: one kind of object that a provider can create, read, change and delete."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar

from dstream_sdk.errors import InvalidError
from dstream_sdk.model import Object

C = TypeVar("C")


class ResourceContext(Generic[C]):
    """One request about one object; every request has its own."""

    def __init__(self, config: C, request: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
        """Take the provider's configuration, the request, and the way to answer."""
        self.config = config
        self.type: str = str(request.get("type") or "")
        self.key: str = str(request.get("key") or "")
        self.intent: str | None = request.get("intent")
        """A UUID of this change: store it as idempotency token or marker where the target can."""
        paths = request.get("sensitive")
        self.sensitive: tuple[tuple[str | int, ...], ...] = tuple(map(tuple, paths)) if isinstance(paths, list) else ()
        """Places in `desired` whose values are secret: they may not be in `private`, which the state keeps in clear."""
        timeout = request.get("timeout")
        self.timeout: float | None = float(timeout) if timeout else None
        """Seconds from the request's arrival until the host gives it up; None: no limit."""
        self._started = time.monotonic()
        self._id = request.get("id")
        self._send = send
        self.cancelled = False
        """Whether the host has asked to give up: stop where it is safe, and raise or return what exists."""

    def remaining(self) -> float | None:
        """Return the seconds left until the timeout, None without one."""
        return None if self.timeout is None else self.timeout - (time.monotonic() - self._started)

    def progress(self, message: str) -> None:
        """Tell the user what is going on."""
        self._send({"id": self._id, "status": "progress", "message": message})


class ResourceType(Generic[C]):
    """A kind of object. `read`, `create` and `delete` must be written, and `update` unless every change
    replaces.

    Methods are called from several threads at once, for different objects. They raise ProviderError or one
    of its kinds; with `object=` when the object exists in spite of the error.
    """

    type: ClassVar[str]
    """Its name in configurations, such as `postgres_publication`."""
    attributes: ClassVar[builtins.type[Any]]
    """A dataclass with all attributes, those that are wanted and those that are computed."""
    version: ClassVar[int] = 1
    """Of the attributes; raise it when their meaning changes, and write `upgrade`."""
    computed: ClassVar[tuple[str, ...]] = ()
    """Attributes that the target decides."""
    sensitive: ClassVar[Mapping[str, Literal["readable", "write_only"]]] = {}
    """Attributes that are never shown, and whether `read` can return them."""
    replace: ClassVar[tuple[str, ...]] = ()
    """Attributes whose change needs another object."""
    identity: ClassVar[Literal["planned", "assigned"]] = "planned"
    """Whether the identity follows from the attributes (planned) or is known after `create` only."""
    identity_attributes: ClassVar[tuple[str, ...]] = ()
    """The attributes that make a planned identity."""
    holds_data: ClassVar[bool] = False
    """Whether deleting an object loses data."""
    settle: ClassVar[float] = 30.0
    """Seconds after which a request that was cut off surely has no more effect on the target."""

    def read(self, ctx: ResourceContext[C], identity: Mapping[str, Any], prior: Object | None) -> Object | None:
        """Return the object as it is, None if it is gone. Changes nothing."""
        raise TypeError(f"{type(self).__name__} has no read method")

    def create(self, ctx: ResourceContext[C], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Create the object with the attributes `desired` and return it as it is then."""
        raise TypeError(f"{type(self).__name__} has no create method")

    def update(self, ctx: ResourceContext[C], prior: Object, desired: Mapping[str, Any]) -> Object:
        """Change the object to the attributes `desired` and return it as it is then."""
        raise InvalidError("Update not supported", f"{self.type} has no attribute that can be changed in place")

    def delete(self, ctx: ResourceContext[C], prior: Object) -> None:
        """Delete the object; no error when it is gone already."""
        raise TypeError(f"{type(self).__name__} has no delete method")

    def find(self, ctx: ResourceContext[C], intent: str) -> Object | None:
        """Return the object that `create` with this intent made, None if there surely is none.

        A type that keeps no note of intents cannot know, and does not override this: the host then looks the object
        up by its identity, if that was known before.
        """
        raise InvalidError("Cannot look up an intent", f"{self.type} does not record what created an object")

    def import_(self, ctx: ResourceContext[C], identity: Mapping[str, Any]) -> Object | None:
        """Return an object that exists and is to be managed from now on."""
        return self.read(ctx, identity, None)

    def upgrade(self, ctx: ResourceContext[C], attributes: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Return attributes of an older `version` in the present one."""
        return attributes

    def plan(
        self, ctx: ResourceContext[C], prior: Object | None, desired: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Sequence[str]]:
        """Return the attributes that `desired` will lead to and the names of those that force replacement.

        A name that is left out will be gone; UNKNOWN is what is known after apply. `desired` of the `create` or
        `update` that follows is what was returned here, without the UNKNOWN ones.
        Only asked when it is overridden; otherwise the host plans from the schema.
        """
        return desired, ()

    def read_many(
        self, ctx: ResourceContext[C], objects: Sequence[tuple[Mapping[str, Any], Object | None]]
    ) -> Sequence[Object | None]:
        """Return what `read` would for each pair of identity and prior, in one go. Optional:
        `bulk_status`."""
        return [self.read(ctx, identity, prior) for identity, prior in objects]

    def open(self, config: C) -> None:
        """Connect; called once, before the first request."""

    def close(self) -> None:
        """Disconnect; called once, after the last answer."""


def overrides(kind: ResourceType[Any], method: str) -> bool:
    """Return whether the type has a `method` of its own."""
    return getattr(type(kind), method) is not getattr(ResourceType, method)
