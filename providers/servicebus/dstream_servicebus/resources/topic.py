"""asb_topic: a topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dstream_sdk import setting
from dstream_servicebus.names import check as check_name
from dstream_servicebus.resources.entity import EntityType, check_size, check_time
from dstream_servicebus.resources.queue import DAY

if TYPE_CHECKING:
    from azure.servicebus.management import ServiceBusAdministrationClient


@dataclass(frozen=True, kw_only=True)
class TopicAttributes:
    """The attributes of `asb_topic`."""

    name: str = setting(description="name of the topic")
    namespace: str = setting("", description="host name of its namespace; that of the provider by default")
    max_size_in_megabytes: int = setting(1024, description="how much it holds")
    requires_duplicate_detection: bool = setting(False, description="repeats of a message_id are dropped")
    duplicate_detection_history_time_window: str = setting("10m", description="how long a message_id is remembered")
    default_message_time_to_live: str = setting("unlimited", description="how long a message is kept")
    enable_partitioning: bool = setting(False, description="spread over several brokers (Standard)")


class Topic(EntityType):
    """A topic. Deleting it deletes its subscriptions and their messages."""

    type = "asb_topic"
    attributes = TopicAttributes
    identity_attributes = ("namespace", "name")
    noun = "topic"
    times = ("duplicate_detection_history_time_window", "default_message_time_to_live")
    fixed = ("requires_duplicate_detection", "enable_partitioning")
    replace = ("namespace", "name", *fixed)

    def check(self, desired: Mapping[str, Any]) -> None:
        """Raise InvalidError for attributes that the service would refuse."""
        check_name(str(desired["name"]), str(desired["name"]))
        check_size(desired)
        check_time(desired, "duplicate_detection_history_time_window", 20, 7 * DAY)
        check_time(desired, "default_message_time_to_live", 1, float("inf"))

    def fetch(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> Any:
        """Return the properties of the topic."""
        return client.get_topic(str(at["name"]))

    def make(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any], settings: dict[str, Any]) -> Any:
        """Create the topic."""
        return client.create_topic(str(at["name"]), **settings)

    def store(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any], properties: Any) -> None:
        """Write the properties of the topic."""
        client.update_topic(properties)

    def drop(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> None:
        """Delete the topic."""
        client.delete_topic(str(at["name"]))

    def measure(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> dict[str, float]:
        """Return the bytes in the topic, which are those of its subscriptions."""
        return {"bytes": client.get_topic_runtime_properties(str(at["name"])).size_in_bytes or 0}

    def every(self, client: ServiceBusAdministrationClient) -> Iterable[tuple[Mapping[str, Any], Any]]:
        """Yield all topics."""
        for found in client.list_topics():
            yield {"name": found.name}, found
