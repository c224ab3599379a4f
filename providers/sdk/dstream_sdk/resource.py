"""ResourceType: a type of objects that a provider can create, read, update and delete."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar

from dstream_sdk.errors import InvalidError
from dstream_sdk.model import Object

C = TypeVar("C")


class ResourceContext(Generic[C]):
    """The context of one request about one object."""

    def __init__(self, config: C, request: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
        """Take the provider's configuration, the request, and the function that sends answers."""
        self.config = config
        self.type: str = str(request.get("type") or "")
        self.key: str = str(request.get("key") or "")
        self.intent: str | None = request.get("intent")
        """A UUID of this change: store it as idempotency token or marker where the target can."""
        paths = request.get("sensitive")
        self.sensitive: tuple[tuple[str | int, ...], ...] = tuple(map(tuple, paths)) if isinstance(paths, list) else ()
        """Paths of secrets in `desired`, which must not be in `private`, since the state keeps that in clear."""
        timeout = request.get("timeout")
        self.timeout: float | None = float(timeout) if timeout else None
        """Seconds from the arrival of the request until the host gives up; None for no limit."""
        self._started = time.monotonic()
        self._id = request.get("id")
        self._send = send
        self.cancelled = False
        """Whether the host requests cancellation: stop where it is safe, and raise or return the existing object."""

    def remaining(self) -> float | None:
        """Return the seconds left until the timeout, None without one."""
        return None if self.timeout is None else self.timeout - (time.monotonic() - self._started)

    def progress(self, message: str) -> None:
        """Report progress to the user."""
        self._send({"id": self._id, "status": "progress", "message": message})


class ResourceType(Generic[C]):
    """A type of objects. `read`, `create` and `delete` must be implemented, and `update` unless every change replaces.

    Methods are called from several threads at once, for different objects. They raise ProviderError or a subclass, with
    `object=` if the object exists in spite of the error.
    """

    type: ClassVar[str]
    """Its name in configurations, such as `postgres_publication`."""
    attributes: ClassVar[builtins.type[Any]]
    """A dataclass with all attributes, configured and computed ones."""
    version: ClassVar[int] = 1
    """The schema version; increase it when attributes change their meaning, and implement `upgrade`."""
    computed: ClassVar[tuple[str, ...]] = ()
    """Attributes that the target computes."""
    sensitive: ClassVar[Mapping[str, Literal["readable", "write_only"]]] = {}
    """Sensitive attributes, and whether `read` can return them."""
    replace: ClassVar[tuple[str, ...]] = ()
    """Attributes whose change requires a replacement."""
    identity: ClassVar[Literal["planned", "assigned"]] = "planned"
    """Whether the identity follows from the attributes (planned) or is known only after `create`."""
    identity_attributes: ClassVar[tuple[str, ...]] = ()
    """The attributes that form a planned identity."""
    holds_data: ClassVar[bool] = False
    """Whether deleting an object loses data."""
    normalizes: ClassVar[bool] = False
    """Whether the target may write a value in another way than it was given; otherwise a difference is an error."""
    settle: ClassVar[float] = 30.0
    """Seconds after which a request that was cut off can have no more effect on the target."""

    def read(self, ctx: ResourceContext[C], identity: Mapping[str, Any], prior: Object | None) -> Object | None:
        """Return the real object, None if it does not exist. Changes nothing."""
        raise TypeError(f"{type(self).__name__} has no read method")

    def create(self, ctx: ResourceContext[C], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Create the object with the attributes `desired`, and return it."""
        raise TypeError(f"{type(self).__name__} has no create method")

    def update(self, ctx: ResourceContext[C], prior: Object, desired: Mapping[str, Any]) -> Object:
        """Update the object to the attributes `desired`, and return it."""
        raise InvalidError("Update not supported", f"{self.type} has no attribute that can be changed in place")

    def delete(self, ctx: ResourceContext[C], prior: Object) -> None:
        """Delete the object; no error if it does not exist."""
        raise TypeError(f"{type(self).__name__} has no delete method")

    def find(self, ctx: ResourceContext[C], intent: str) -> Object | None:
        """Return the object that `create` with this intent created, None if there certainly is none.

        Do not override this if the type does not store intents: the host then looks the object up by its identity, if
        that was planned.
        """
        raise InvalidError("Cannot look up an intent", f"{self.type} does not record what created an object")

    def import_(self, ctx: ResourceContext[C], identity: Mapping[str, Any]) -> Object | None:
        """Return an existing object to import, None if it does not exist."""
        return self.read(ctx, identity, None)

    def upgrade(self, ctx: ResourceContext[C], attributes: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Return attributes of an older `version` in the present one."""
        return attributes

    def plan(
        self, ctx: ResourceContext[C], prior: Object | None, desired: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Sequence[str]]:
        """Return the planned attributes, and the names of those that force a replacement.

        A missing name is removed from the object; UNKNOWN is known after apply. The following `create` or `update`
        receives these attributes, without UNKNOWN ones, as `desired`. Only called if it is overridden; otherwise the
        host plans from the schema.
        """
        return desired, ()

    def contents(self, ctx: ResourceContext[C], prior: Object) -> Mapping[str, float] | None:
        """Return how much data the object holds: `messages`, `rows`, `bytes`; None if it does not exist.

        Asked of an object with `holds_data` that a plan destroys. Optional: capability `consequences`.
        """
        return {}

    def read_many(
        self, ctx: ResourceContext[C], objects: Sequence[tuple[Mapping[str, Any], Object | None]]
    ) -> Sequence[Object | None]:
        """Return the results of `read` for pairs of identity and prior. Optional: capability `bulk_status`."""
        return [self.read(ctx, identity, prior) for identity, prior in objects]

    def open(self, config: C) -> None:
        """Connect; called once, before the first request."""

    def close(self) -> None:
        """Disconnect; called once, after the last answer."""


def overrides(kind: ResourceType[Any], method: str) -> bool:
    """Return whether the type has a `method` of its own."""
    return getattr(type(kind), method) is not getattr(ResourceType, method)
