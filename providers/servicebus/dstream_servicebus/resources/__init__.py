"""The resource types: `asb_queue`, `asb_topic`, `asb_subscription`."""

from __future__ import annotations

from dstream_sdk import ResourceType
from dstream_servicebus.resources.queue import Queue
from dstream_servicebus.resources.subscription import Subscription
from dstream_servicebus.resources.topic import Topic
from dstream_servicebus.settings import Connection


def resource_types() -> tuple[ResourceType[Connection], ...]:
    """Return one instance of each type."""
    return (Queue(), Topic(), Subscription())
