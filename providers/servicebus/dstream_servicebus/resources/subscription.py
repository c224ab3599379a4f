"""asb_subscription: a subscription, which receives copies of the messages of a topic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dstream_sdk import InvalidError, setting
from dstream_servicebus.resources.entity import EntityType, check_time

if TYPE_CHECKING:
    from azure.servicebus.management import ServiceBusAdministrationClient

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,48}[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class SubscriptionAttributes:
    """The attributes of `asb_subscription`."""

    name: str = setting(description="name of the subscription")
    topic: str = setting(description="name of its topic")
    namespace: str = setting("", description="host name of its namespace; that of the provider by default")
    lock_duration: str = setting("1m", description="how long a receiver may hold a message, at most 5m")
    max_delivery_count: int = setting(10, description="deliveries after which a message is a dead letter")
    requires_session: bool = setting(False, description="every message belongs to a session")
    default_message_time_to_live: str = setting("unlimited", description="how long a message is kept")
    dead_lettering_on_message_expiration: bool = setting(False, description="expired messages are dead letters")


class Subscription(EntityType):
    """A subscription. Deleting it deletes its messages."""

    type = "asb_subscription"
    attributes = SubscriptionAttributes
    identity_attributes = ("namespace", "topic", "name")
    noun = "subscription"
    times = ("lock_duration", "default_message_time_to_live")
    fixed = ("requires_session",)
    replace = ("namespace", "topic", "name", *fixed)

    def check(self, desired: Mapping[str, Any]) -> None:
        """Raise InvalidError for attributes that the service would refuse."""
        if not _NAME.fullmatch(str(desired["name"])):
            what = "a subscription has a name of 1 to 50 letters, digits and . - _, with a letter or digit at both ends"
            raise InvalidError("Invalid subscription name", f"{desired['name']!r}: {what}", path="name")
        check_time(desired, "lock_duration", 5, 300)
        check_time(desired, "default_message_time_to_live", 1, float("inf"))

    def fetch(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> Any:
        """Return the properties of the subscription."""
        return client.get_subscription(str(at["topic"]), str(at["name"]))

    def make(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any], settings: dict[str, Any]) -> Any:
        """Create the subscription."""
        return client.create_subscription(str(at["topic"]), str(at["name"]), **settings)

    def store(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any], properties: Any) -> None:
        """Write the properties of the subscription."""
        client.update_subscription(str(at["topic"]), properties)

    def drop(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> None:
        """Delete the subscription."""
        client.delete_subscription(str(at["topic"]), str(at["name"]))

    def measure(self, client: ServiceBusAdministrationClient, at: Mapping[str, Any]) -> dict[str, float]:
        """Return the messages in the subscription, dead letters included."""
        found = client.get_subscription_runtime_properties(str(at["topic"]), str(at["name"]))
        return {"messages": found.total_message_count or 0}

    def every(self, client: ServiceBusAdministrationClient) -> Iterable[tuple[Mapping[str, Any], Any]]:
        """Yield the subscriptions of all topics."""
        for topic in client.list_topics():
            for found in client.list_subscriptions(topic.name):
                yield {"topic": topic.name, "name": found.name}, found
