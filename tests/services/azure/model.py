"""What exists in this Azure: resource groups, namespaces, queues, topics, subscriptions. All planes share one `Azure`.

Property names are those of Azure Resource Manager (`lockDuration`); the ATOM plane spells the same ones with a capital.
Durations are ISO 8601 strings. Methods raise `Refused`, which each plane puts into its own words. Every method takes
the lock, so several servers may use one model.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["queue", "topic", "subscription"]

FOREVER = "P10675199DT2H48M5.4775807S"
DEFAULTS: dict[Kind, dict[str, Any]] = {
    "queue": {
        "lockDuration": "PT1M",
        "maxSizeInMegabytes": 1024,
        "maxMessageSizeInKilobytes": 256,
        "requiresDuplicateDetection": False,
        "requiresSession": False,
        "defaultMessageTimeToLive": FOREVER,
        "deadLetteringOnMessageExpiration": False,
        "duplicateDetectionHistoryTimeWindow": "PT10M",
        "maxDeliveryCount": 10,
        "status": "Active",
        "enableBatchedOperations": True,
        "autoDeleteOnIdle": FOREVER,
        "enablePartitioning": False,
        "enableExpress": False,
    },
    "topic": {
        "maxSizeInMegabytes": 1024,
        "maxMessageSizeInKilobytes": 256,
        "requiresDuplicateDetection": False,
        "defaultMessageTimeToLive": FOREVER,
        "duplicateDetectionHistoryTimeWindow": "PT10M",
        "status": "Active",
        "enableBatchedOperations": True,
        "autoDeleteOnIdle": FOREVER,
        "supportOrdering": True,
        "enablePartitioning": False,
        "enableExpress": False,
    },
    "subscription": {
        "lockDuration": "PT1M",
        "requiresSession": False,
        "defaultMessageTimeToLive": FOREVER,
        "deadLetteringOnMessageExpiration": False,
        "deadLetteringOnFilterEvaluationExceptions": True,
        "maxDeliveryCount": 10,
        "status": "Active",
        "enableBatchedOperations": True,
        "autoDeleteOnIdle": FOREVER,
    },
}
FIXED: dict[Kind, tuple[str, ...]] = {
    "queue": ("requiresSession", "requiresDuplicateDetection", "enablePartitioning"),
    "topic": ("requiresDuplicateDetection", "enablePartitioning"),
    "subscription": ("requiresSession",),
}
"""Properties of which the service refuses a change."""
SIZES = (1024, 2048, 3072, 4096, 5120, 10240, 20480, 40960, 81920)
ENTITY_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?")
LONGEST: dict[Kind, int] = {"queue": 260, "topic": 260, "subscription": 50}
NAMESPACE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9]")
USER_METADATA = 1024


class Refused(Exception):
    """The service says no: the HTTP status, its code, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Entity:
    """A queue, a topic, or a subscription of one."""

    name: str
    kind: Kind
    properties: dict[str, Any]
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells this one from another one of the same name that was there before."""
    subscriptions: dict[str, Entity] = field(default_factory=dict)
    rules: dict[str, Any] | None = None
    """Of a subscription, by name, once one was made or deleted; see `rules`."""
    store: Any = None
    """The messages in it, once the data plane has looked at it."""


@dataclass
class Namespace:
    """A namespace; its name is unique in the world."""

    name: str
    group: str
    subscription: str
    body: dict[str, Any]
    """What Azure Resource Manager shows of it: location, sku, tags, properties."""
    entities: dict[str, Entity] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """The key of each authorization rule by its name."""
    rights: dict[str, tuple[str, ...]] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    entra: Callable[[str, str], bool] | None = None
    """Tells whether a token is one of Microsoft Entra ID for a service; None: there is none here."""
    looks: int = 0
    """How many more looks it takes until its creation is done."""

    @property
    def tier(self) -> str:
        """Return Basic, Standard or Premium."""
        return str((self.body.get("sku") or {}).get("name") or "Standard")

    @property
    def partitions(self) -> int:
        """Return the partitions of a Premium namespace, which are chosen when it is created; 1: it has none.

        Source: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-partitioning ("Partitioning is
        available at namespace creation for the Premium messaging SKU, and all queues and topics in that namespace will
        be partitioned").
        """
        return int((self.body.get("properties") or {}).get("premiumMessagingPartitions") or 1)

    @property
    def host(self) -> str:
        """Return the host name that the real service would give it."""
        return f"{self.name}.servicebus.windows.net"

    def connection_string(self, rule: str = "RootManageSharedAccessKey") -> str:
        """Return the connection string of an authorization rule, as the real service gives it."""
        key = self.keys[rule]
        return f"Endpoint=sb://{self.host}/;SharedAccessKeyName={rule};SharedAccessKey={key}"

    def names(self, kind: Kind = "queue") -> list[str]:
        """Return the names of its queues or topics."""
        return sorted(each.name for each in list(self.entities.values()) if each.kind == kind)


def fresh_key(text: str) -> str:
    """Return a key as the service makes them; the same for the same text."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class Azure:
    """Everything that exists."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.groups: dict[tuple[str, str], dict[str, Any]] = {}
        """Resource groups by subscription and name, in lower case."""
        self.namespaces: dict[str, Namespace] = {}

    # -- groups and namespaces -----------------------------------------------------------------------

    def put_group(self, subscription: str, name: str, location: str = "westeurope") -> dict[str, Any]:
        """Create a resource group."""
        with self.lock:
            return self.groups.setdefault(
                (subscription.lower(), name.lower()),
                {
                    "id": f"/subscriptions/{subscription}/resourceGroups/{name}",
                    "name": name,
                    "type": "Microsoft.Resources/resourceGroups",
                    "location": location,
                    "tags": {},
                    "properties": {"provisioningState": "Succeeded"},
                },
            )

    def group(self, subscription: str, name: str) -> dict[str, Any]:
        """Return a resource group."""
        found = self.groups.get((subscription.lower(), name.lower()))
        if found is None:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return found

    def delete_group(self, subscription: str, name: str) -> bool:
        """Delete a resource group with all that is in it; tell whether it was there."""
        with self.lock:
            for each in [n for n in self.namespaces.values() if _within(n, subscription, name)]:
                del self.namespaces[each.name.lower()]
            return self.groups.pop((subscription.lower(), name.lower()), None) is not None

    def put_namespace(self, subscription: str, group: str, name: str, body: Mapping[str, Any]) -> Namespace:
        """Create a namespace, or change one."""
        with self.lock:
            self.group(subscription, group)
            if not NAMESPACE_NAME.fullmatch(name):
                raise Refused(400, "BadRequest", f"The specified service namespace name '{name}' is invalid.")
            sku = dict(body.get("sku") or {"name": "Standard"})
            sku.setdefault("tier", sku.get("name"))
            if sku.get("name") not in ("Basic", "Standard", "Premium"):
                raise Refused(400, "BadRequest", f"The sku '{sku.get('name')}' is not one of Basic, Standard, Premium.")
            found = self.namespaces.get(name.lower())
            if found is not None and not _within(found, subscription, group):
                raise Refused(409, "Conflict", f"Namespace name '{name}' is not available: it is in use elsewhere.")
            if found is None:
                found = self.namespaces[name.lower()] = Namespace(name, group, subscription, {})
                self.put_rule(found, "RootManageSharedAccessKey", ("Listen", "Manage", "Send"))
            elif found.tier != sku["name"] and "Premium" in (found.tier, sku["name"]):
                raise Refused(400, "BadRequest", f"The sku cannot be changed from {found.tier} to {sku['name']}.")
            found.body = {
                "location": body.get("location") or "westeurope",
                "sku": sku,
                "tags": dict(body.get("tags") or {}),
                "properties": dict(body.get("properties") or {}),
            }
            return found

    def namespace(self, name: str) -> Namespace:
        """Return a namespace."""
        found = self.namespaces.get(name.lower())
        if found is None:
            raise Refused(404, "ResourceNotFound", f"The namespace '{name}' was not found.")
        return found

    def namespaces_of(self, subscription: str, group: str) -> list[Namespace]:
        """Return the namespaces of a resource group."""
        return [each for each in self.namespaces.values() if _within(each, subscription, group)]

    def delete_namespace(self, name: str) -> bool:
        """Delete a namespace with its entities; tell whether it was there."""
        with self.lock:
            return self.namespaces.pop(name.lower(), None) is not None

    def add_namespace(self, name: str = "shop", tier: str = "Standard", partitions: int = 1) -> Namespace:
        """Make a namespace for a test, in a group of its own; tier Premium may have `partitions`."""
        self.put_group("00000000-0000-0000-0000-000000000001", "test-group")
        body = {"sku": {"name": tier}, "properties": {"premiumMessagingPartitions": partitions}}
        return self.put_namespace("00000000-0000-0000-0000-000000000001", "test-group", name, body)

    def put_rule(self, namespace: Namespace, rule: str, rights: tuple[str, ...]) -> None:
        """Create an authorization rule, or change its rights."""
        with self.lock:
            namespace.keys.setdefault(rule, fresh_key(f"{namespace.name}/{rule}"))
            namespace.rights[rule] = rights

    # -- entities ------------------------------------------------------------------------------------

    def put(self, namespace: Namespace, kind: Kind, path: str, properties: Mapping[str, Any]) -> tuple[Entity, bool]:
        """Create an entity, or change one; tell whether it is new. What is not said becomes the default."""
        with self.lock:
            siblings, name = self._place(namespace, kind, path)
            found = siblings.get(name.lower())
            if found is not None and found.kind != kind:
                raise Refused(409, "Conflict", f"SubCode=40900. Entity '{name}' exists and is a {found.kind}.")
            wanted = self._checked(namespace, kind, name, properties, found)
            if found is None:
                made = siblings[name.lower()] = Entity(name, kind, wanted)
                return made, True
            found.properties, found.updated = wanted, time.time()
            return found, False

    def get(self, namespace: Namespace, kind: Kind, path: str) -> Entity | None:
        """Return an entity; None if it is not there."""
        try:
            siblings, name = self._place(namespace, kind, path)
        except Refused:
            return None
        found = siblings.get(name.lower())
        return found if found is not None and found.kind == kind else None

    def delete(self, namespace: Namespace, kind: Kind, path: str) -> bool:
        """Delete an entity and what is in it; tell whether it was there."""
        with self.lock:
            if self.get(namespace, kind, path) is None:
                return False
            siblings, name = self._place(namespace, kind, path)
            del siblings[name.lower()]
            return True

    def every(self, namespace: Namespace, kind: Kind, topic: str = "") -> list[Entity]:
        """Return the entities of a kind (the subscriptions of a topic) by name."""
        with self.lock:
            owner = self.get(namespace, "topic", topic) if topic else None
            entities = owner.subscriptions if owner else namespace.entities
            return [each for _, each in sorted(entities.items()) if each.kind == kind]

    def walk(self, namespace: Namespace) -> Iterator[tuple[str, Entity]]:
        """Yield path and entity of everything in a namespace."""
        for each in list(namespace.entities.values()):
            yield each.name, each
            for inner in list(each.subscriptions.values()):
                yield f"{each.name}/Subscriptions/{inner.name}", inner

    def _place(self, namespace: Namespace, kind: Kind, path: str) -> tuple[dict[str, Entity], str]:
        """Return what the entity is one of, and its name there; a subscription's path is `TOPIC/Subscriptions/NAME`."""
        if kind != "subscription":
            return namespace.entities, path
        topic, _, name = re.sub("/subscriptions/", "\0", path, flags=re.IGNORECASE).partition("\0")
        owner = self.get(namespace, "topic", topic)
        if owner is None:
            raise Refused(404, "MessagingGatewayNotFoundStatusCode", f"The topic '{topic}' could not be found.")
        return owner.subscriptions, name

    def _checked(
        self, namespace: Namespace, kind: Kind, name: str, properties: Mapping[str, Any], found: Entity | None
    ) -> dict[str, Any]:
        if len(name) > LONGEST[kind] or not ENTITY_NAME.fullmatch(name):
            raise Refused(400, "BadRequest", f"SubCode=40000. '{name}' is not a valid name of a {kind}.")
        given = {key: _canonical(value) for key, value in properties.items() if value is not None}
        wanted = {**DEFAULTS[kind], **given}
        if namespace.tier == "Basic" and (kind != "queue" or wanted["requiresSession"]):
            raise Refused(400, "BadRequest", f"SubCode=40000. A {kind} like '{name}' is not available in tier Basic.")
        if kind == "queue" and namespace.tier == "Basic" and wanted["requiresDuplicateDetection"]:
            raise Refused(400, "BadRequest", "SubCode=40000. Duplicate detection is not available in tier Basic.")
        if "maxSizeInMegabytes" in wanted and wanted["maxSizeInMegabytes"] not in SIZES:
            raise Refused(400, "BadRequest", f"SubCode=40000. maxSizeInMegabytes must be one of {SIZES}.")
        if kind != "subscription":
            if namespace.tier == "Premium" and "maxMessageSizeInKilobytes" not in given:
                wanted["maxMessageSizeInKilobytes"] = 1024
            # Reports differ on whether 256, which it has, is taken; here no value is: https://github.com/MicrosoftDocs/azure-docs/issues/104074,
            # https://github.com/hashicorp/terraform-provider-azurerm/issues/28576
            if namespace.tier != "Premium" and "maxMessageSizeInKilobytes" in given:
                raise Refused(400, "MessagingGatewayBadRequest", "SubCode=40000. Bad Request.")
            if namespace.tier == "Premium":
                # What is asked for has no effect: https://github.com/Azure/azure-cli/issues/24741
                wanted["enablePartitioning"] = namespace.partitions > 1
        if len(str(wanted.get("userMetadata") or "")) > USER_METADATA:
            raise Refused(400, "BadRequest", f"SubCode=40000. userMetadata is longer than {USER_METADATA} characters.")
        for each in FIXED[kind] if found else ():
            if found and wanted[each] != found.properties[each]:
                raise Refused(
                    400,
                    "BadRequest",
                    f"SubCode=40000. The value for the {each} property of an existing {kind} cannot be changed.",
                )
        return wanted


def _within(namespace: Namespace, subscription: str, group: str) -> bool:
    return (namespace.subscription.lower(), namespace.group.lower()) == (subscription.lower(), group.lower())


_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def _canonical(value: Any) -> Any:
    """Return a duration in whole seconds as .NET writes it back: PT2M for PT120S. Other values as they are."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        return value
    total = sum(int(part or 0) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True))
    days, rest = divmod(total, 86400)
    parts = [(rest // 3600, "H"), (rest % 3600 // 60, "M"), (rest % 60, "S")]
    time = "".join(f"{number}{letter}" for number, letter in parts if number)
    return f"P{f'{days}D' if days else ''}{f'T{time}' if time else ''}" if total else "PT0S"
