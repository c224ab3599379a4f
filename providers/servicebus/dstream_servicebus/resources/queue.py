"""asb_queue: a queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dstream_sdk import setting
from dstream_servicebus.names import check as check_name
from dstream_servicebus.resources.entity import EntityType, check_size, check_time

if TYPE_CHECKING:
    from azure.servicebus.management import ServiceBusAdministrationClient

DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class QueueAttributes:
    """The attributes of `asb_queue`."""

    name: str = setting(description="name of the queue")
    namespace: str = setting("", description="host name of its namespace; that of the provider by default")
    lock_duration: str = setting("1m", description="how long a receiver may hold a message, at most 5m")
    max_delivery_count: int = setting(10, description="deliveries after which a message is a dead letter")
    max_size_in_megabytes: int = setting(1024, description="how much it holds")
    requires_session: bool = setting(False, description="every message belongs to a session")
    requires_duplicate_detection: bool = setting(False, description="repeats of a message_id are dropped")
    duplicate_detection_history_time_window: str = setting("10m", description="how long a message_id is remembered")
    default_message_time_to_live: str = setting("unlimited", description="how long a message is kept")
    dead_lettering_on_message_expiration: bool = setting(False, description="expired messages are dead letters")
    enable_partitioning: bool = setting(False, description="spread over several brokers (Basic and Standard)")


class Queue(EntityType):
    """A queue. Deleting it deletes its messages."""

    type = "asb_queue"
    attributes = QueueAttributes
    identity_attributes = ("namespace", "name")
    noun = "queue"
    times = ("lock_duration", "duplicate_detection_history_time_window", "default_message_time_to_live")
    fixed = ("requires_session", "requires_duplicate_detection", "enable_partitioning")
    replace = ("namespace", "name", *fixed)

    def check(self, desired: Mapping[str, Any]) -> None:
        """Raise InvalidError for attributes that the service would refuse."""
        check_name(str(desired["name"]), str(desired["name"]))
        check_size(desired)
        check_time(desired, "lock_duration", 5, 300)
        check_time(desired, "duplicate_detection_history_time_window", 20, 7 * DAY)
        check_time(desired, "default_message_time_to_live", 1, float("inf"))

    def fetch(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> Any:
        """Return the properties of the queue."""
        return client.get_queue(str(at["name"]))

    def make(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any], settings: dict[str, Any]) -> Any:
        """Create the queue."""
        return client.create_queue(str(at["name"]), **settings)

    def store(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any], properties: Any) -> None:
        """Write the properties of the queue."""
        client.update_queue(properties)

    def drop(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> None:
        """Delete the queue."""
        client.delete_queue(str(at["name"]))

    def measure(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> dict[str, float]:
        """Return the messages and bytes in the queue, dead letters included."""
        found = client.get_queue_runtime_properties(str(at["name"]))
        return {"messages": found.total_message_count or 0, "bytes": found.size_in_bytes or 0}

    def every(self, client: ServiceBusAdministrationClient) -> Iterable[tuple[Mapping[str, Any], Any]]:
        """Yield all queues."""
        for found in client.list_queues():
            yield {"name": found.name}, found
