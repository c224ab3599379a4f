"""EntityType: the common part of queues, topics and subscriptions.

An entity is identified by the host name of its namespace and its name. UserMetadata stores the intent that created it,
so an interrupted `create` is found again, and an entity that another program created in its place is never deleted.
Settings that dstream does not support are preserved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dstream_sdk import ConflictError, InvalidError, Object, ResourceContext, ResourceType
from dstream_servicebus import durations
from dstream_servicebus.clients import CLIENTS, host_of
from dstream_servicebus.service_errors import of_entities
from dstream_servicebus.settings import Connection

if TYPE_CHECKING:
    from azure.servicebus.management import ServiceBusAdministrationClient

_MARK = "dstream"


class EntityType(ResourceType[Connection]):
    """One kind of entity. Deleting one deletes the messages in it."""

    holds_data = True
    normalizes = True  # the service decides on partitioning in Premium, and on the size of partitioned entities
    noun: ClassVar[str]
    times: ClassVar[tuple[str, ...]]
    """Attributes that are durations."""
    fixed: ClassVar[tuple[str, ...]]
    """Attributes that force replacement, in addition to the identity."""
    names: ClassVar[Mapping[str, str]] = {}
    """The client library's names of attributes, where they differ."""

    # -- the client library's calls for each type ----------------------------------------------------------

    def fetch(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> Any:
        """Return the properties of an entity. Raises ResourceNotFoundError."""
        raise NotImplementedError

    def make(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any], settings: dict[str, Any]) -> Any:
        """Create an entity."""
        raise NotImplementedError

    def store(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any], properties: Any) -> None:
        """Write changed properties."""
        raise NotImplementedError

    def drop(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> None:
        """Delete an entity."""
        raise NotImplementedError

    def measure(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> dict[str, float]:
        """Return what an entity holds, by unit. Raises ResourceNotFoundError."""
        raise NotImplementedError

    def every(self, client: ServiceBusAdministrationClient) -> Iterable[tuple[Mapping[str, Any], Any]]:
        """Yield the names and properties of all entities."""
        raise NotImplementedError

    def check(self, desired: Mapping[str, Any]) -> None:
        """Raise InvalidError for attributes that the service would refuse."""

    # -- the protocol --------------------------------------------------------------------------------------

    def plan(
        self, ctx: ResourceContext[Connection], prior: Object | None, desired: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Sequence[str]]:
        """Fill in the namespace and the defaults, and normalize durations."""
        planned = {**_defaults(self.attributes), **{k: v for k, v in desired.items() if v is not None}}
        planned["namespace"] = planned.get("namespace") or host_of(ctx.config)
        for name in self.times:
            if isinstance(planned.get(name), str):
                try:
                    planned[name] = durations.short(planned[name])
                except ValueError as problem:
                    raise InvalidError("Invalid duration", str(problem), path=name) from None
        if prior is not None and self._partitioned_by_namespace(ctx, planned, prior):
            planned["enable_partitioning"] = prior.attributes["enable_partitioning"]
        self.check(planned)
        before = prior.attributes if prior is not None else planned
        fixed = (*self.identity_attributes, *self.fixed)
        return planned, [name for name in fixed if before.get(name) != planned.get(name)]

    def read(
        self, ctx: ResourceContext[Connection], identity: Mapping[str, Any], prior: Object | None
    ) -> Object | None:
        """Return the entity, or None if it does not exist."""
        from azure.core.exceptions import ResourceNotFoundError

        client = self._client(ctx, identity)
        try:
            found = self.fetch(client, identity)
        except ResourceNotFoundError:
            return None
        except Exception as problem:  # noqa: BLE001 - sorted by of_entities
            raise of_entities(problem, f"read the {self.noun} {identity['name']}") from None
        return self._object(identity, found, prior)

    def create(self, ctx: ResourceContext[Connection], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Create the entity, with the intent in its UserMetadata."""
        from azure.core.exceptions import ResourceExistsError

        at = {name: desired[name] for name in self.identity_attributes}
        client = self._client(ctx, at)
        settings = {**self._settings(desired), "user_metadata": _marked(intent)}
        try:
            self.make(client, at, settings)
        except ResourceExistsError:
            found = self._look(ctx, client, at)
            # The response to an earlier attempt of this request may have been lost.
            if found is None or intent is None or _intent(found) != intent:
                raise ConflictError(
                    f"{self.noun.capitalize()} exists",
                    f"a {self.noun} or another entity is named {at['name']!r}. Import it, or choose another name",
                ) from None
        except Exception as problem:  # noqa: BLE001 - sorted by of_entities
            raise of_entities(problem, f"create the {self.noun} {at['name']}") from None
        found = self._look(ctx, client, at)
        if found is None:
            raise ConflictError(
                f"{self.noun.capitalize()} not found", f"{at['name']!r} was deleted after the plan was made; plan again"
            )
        return self._object(at, found, None, desired.get("max_size_in_megabytes"))

    def update(self, ctx: ResourceContext[Connection], prior: Object, desired: Mapping[str, Any]) -> Object:
        """Update the properties that differ."""
        client = self._client(ctx, prior.identity)
        found = self._look(ctx, client, prior.identity)
        if found is None:
            name = prior.identity["name"]
            raise ConflictError(
                f"{self.noun.capitalize()} not found", f"{name!r} was deleted after the plan was made; plan again"
            )
        for name, value in self._settings(desired).items():
            if name not in {self.names.get(each, each) for each in self.fixed}:
                setattr(found, name, value)
        if getattr(found, "max_message_size_in_kilobytes", None) is not None and not is_premium(client):
            found.max_message_size_in_kilobytes = None  # other tiers reject the property even if it is unchanged
        try:
            self.store(client, prior.identity, found)
        except Exception as problem:  # noqa: BLE001 - sorted by of_entities
            raise of_entities(problem, f"change the {self.noun} {prior.identity['name']}") from None
        return self._object(prior.identity, self._look(ctx, client, prior.identity) or found, prior)

    def delete(self, ctx: ResourceContext[Connection], prior: Object) -> None:
        """Delete the entity, unless another program has recreated it."""
        from azure.core.exceptions import ResourceNotFoundError

        client = self._client(ctx, prior.identity)
        found = self._look(ctx, client, prior.identity)
        if found is None:
            return
        own_intent = (prior.private or {}).get("intent")
        if own_intent is not None and _intent(found) != own_intent:
            name = prior.identity["name"]
            raise ConflictError(
                f"{self.noun.capitalize()} not managed by this task",
                f"{name!r} was deleted and created again by another program. Delete it manually, or remove it from the "
                "state: dstream state rm",
            )
        try:
            self.drop(client, prior.identity)
        except ResourceNotFoundError:
            return
        except Exception as problem:  # noqa: BLE001 - sorted by of_entities
            raise of_entities(problem, f"delete the {self.noun} {prior.identity['name']}") from None

    def contents(self, ctx: ResourceContext[Connection], prior: Object) -> Mapping[str, float] | None:
        """Return how many messages and bytes the entity holds, or None if it does not exist."""
        from azure.core.exceptions import ResourceNotFoundError

        client = self._client(ctx, prior.identity)
        try:
            return self.measure(client, prior.identity)
        except ResourceNotFoundError:
            return None
        except Exception as problem:  # noqa: BLE001 - sorted by of_entities
            raise of_entities(problem, f"read the {self.noun} {prior.identity['name']}") from None

    def find(self, ctx: ResourceContext[Connection], intent: str) -> Object | None:
        """Return the entity of the namespace whose UserMetadata has the intent."""
        client = CLIENTS.of(ctx.config)
        try:
            for at, found in self.every(client):
                if _intent(found) == intent:
                    return self._object({"namespace": host_of(ctx.config), **at}, found, None)
        except Exception as problem:  # noqa: BLE001 - sorted by of_entities
            raise of_entities(problem, f"list each {self.noun}") from None
        return None

    def _partitioned_by_namespace(
        self, ctx: ResourceContext[Connection], planned: Mapping[str, Any], prior: Object
    ) -> bool:
        """Return whether a Premium namespace determines the partitioning of the entity.

        In such a namespace all entities are partitioned as the namespace is, so a replacement would be the same:
        https://learn.microsoft.com/azure/service-bus-messaging/service-bus-partitioning
        """
        before = prior.attributes.get("enable_partitioning")
        if "enable_partitioning" not in planned or before is None or before == planned["enable_partitioning"]:
            return False
        return is_premium(self._client(ctx, prior.identity))

    # -- parts ---------------------------------------------------------------------------------------------

    def _client(self, ctx: ResourceContext[Connection], at: Mapping[str, Any]) -> ServiceBusAdministrationClient:
        host = host_of(ctx.config)
        if at.get("namespace") not in (None, "", host):
            raise InvalidError(
                "Another namespace",
                f"the {self.noun} {at['name']!r} is in {at['namespace']}, and the configuration connects to {host}. "
                "Destroy it with the earlier configuration first (dstream destroy); or keep it there with its data, "
                "remove it from the state (dstream state rm), and apply: the task continues from its checkpoint",
            )
        return CLIENTS.of(ctx.config)

    def _look(
        self, ctx: ResourceContext[Connection], client: ServiceBusAdministrationClient, at: Mapping[str, Any]
    ) -> Any:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return self.fetch(client, at)
        except ResourceNotFoundError:
            return None
        except Exception as problem:  # noqa: BLE001 - sorted by of_entities
            raise of_entities(problem, f"read the {self.noun} {at['name']}") from None

    def _settings(self, desired: Mapping[str, Any]) -> dict[str, Any]:
        """Return the desired attributes in the form of the client library."""
        out = {}
        for name, value in desired.items():
            if name in self.identity_attributes or value is None:
                continue
            out[self.names.get(name, name)] = durations.iso(value) if name in self.times else value
        return out

    def _object(self, at: Mapping[str, Any], found: Any, prior: Object | None, configured_size: Any = None) -> Object:
        attributes: dict[str, Any] = {name: at[name] for name in self.identity_attributes}
        for name, default in _defaults(self.attributes).items():
            if name not in attributes:
                value = getattr(found, self.names.get(name, name), None)
                value = default if value is None else value
                attributes[name] = durations.of_service(value) if name in self.times else value
        size = attributes.get("max_size_in_megabytes")
        configured = prior.attributes.get("max_size_in_megabytes") if prior is not None else configured_size
        sums = tuple(16 * each for each in SIZES)
        if attributes.get("enable_partitioning") and isinstance(size, int) and size != configured and size in sums:
            attributes["max_size_in_megabytes"] = size // 16  # Standard reports the sum over 16 partitions
        private = dict(prior.private or {}) if prior is not None else {}
        if prior is None and (mark := _intent(found)) is not None:
            private["intent"] = mark
        return Object({name: at[name] for name in self.identity_attributes}, attributes, private)


def is_premium(client: ServiceBusAdministrationClient) -> bool:
    """Return whether the namespace is in the tier Premium."""
    try:
        return str(client.get_namespace_properties().messaging_sku) == "Premium"
    except Exception as problem:  # noqa: BLE001 - sorted by of_entities
        raise of_entities(problem, "read the tier of the namespace") from None


def _defaults(attributes: type[Any]) -> dict[str, Any]:
    from dataclasses import MISSING, fields

    return {field.name: None if field.default is MISSING else field.default for field in fields(attributes)}


def _marked(intent: str | None) -> str | None:
    return None if intent is None else json.dumps({_MARK: {"intent": intent}})


def _intent(found: Any) -> str | None:
    """Return the intent in an entity's UserMetadata, if any."""
    try:
        mark = json.loads(str(getattr(found, "user_metadata", None) or "null"))
    except (ValueError, RecursionError):  # written by another program
        return None
    noted = mark.get(_MARK) if isinstance(mark, dict) else None
    intent = noted.get("intent") if isinstance(noted, dict) else None
    return intent if isinstance(intent, str) else None


SIZES = (1024, 2048, 3072, 4096, 5120, 10240, 20480, 40960, 81920)


def check_time(desired: Mapping[str, Any], name: str, least: float, most: float) -> None:
    """Raise InvalidError for a duration that the service would refuse."""
    value = desired.get(name)
    if isinstance(value, str) and not least <= durations.seconds(value) <= most:
        low, high = durations.of_seconds(least), durations.of_seconds(most)
        raise InvalidError("Invalid duration", f"{name} is {value}, and must be from {low} to {high}", path=name)


def check_size(desired: Mapping[str, Any]) -> None:
    """Raise InvalidError for a size that the service does not offer."""
    size = desired.get("max_size_in_megabytes")
    if isinstance(size, int) and size not in SIZES:
        sizes = ", ".join(map(str, SIZES))
        raise InvalidError(
            "Invalid size", f"max_size_in_megabytes is {size}; valid sizes: {sizes}", path="max_size_in_megabytes"
        )
