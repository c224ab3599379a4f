"""Planning: the queues, or topics with subscriptions, that a task requires for the tables of its input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dstream_sdk import InvalidError, Resource, Stream
from dstream_servicebus.clients import host_of
from dstream_servicebus.durations import short
from dstream_servicebus.names import Naming, check, chosen, kebab
from dstream_servicebus.settings import OutputSettings


def tables_of(config: OutputSettings, streams: Sequence[Stream]) -> list[str]:
    """Return the tables to send: those of the input, filtered by `tables`, and those discovered at run time."""
    found = chosen([stream.name for stream in streams if not stream.discovered], config.tables)
    if config.on_unknown_table == "create":
        found += [stream.name for stream in streams if stream.discovered and stream.name not in found]
    return found


def naming_of(config: OutputSettings, task: str) -> Naming:
    """Return the naming of the entities."""
    if config.older_names:
        prefix = f"{kebab(config.source_host)}-{kebab(config.source_database)}"
        return Naming(f"{prefix}-{{kebab}}", config.queues, task)
    return Naming(config.queue_name, config.queues, task)


def entities_of(config: OutputSettings, task: str, streams: Sequence[Stream]) -> list[str]:
    """Return the names of the queues or topics that the task requires. Raises InvalidError."""
    naming = naming_of(config, task)
    tables = tables_of(config, streams)
    found = list(dict.fromkeys(naming.all_of(tables).values()))
    if not found and naming.shared:
        found = [naming.of("")]
        check(found[0], "all tables")
    if not found and config.on_unknown_table != "create":
        raise InvalidError(
            "No tables",
            "the input does not declare its tables, and tables is empty: list them in tables of input or "
            'output, or set on_unknown_table = "create"',
            path="config.tables",
        )
    return found


def settings_of(config: OutputSettings) -> dict[str, Any]:
    """Return the attributes of a queue or topic, as asb_queue and asb_topic name them."""
    return {
        "max_size_in_megabytes": config.max_size_in_megabytes,
        "requires_duplicate_detection": config.duplicate_detection,
        "duplicate_detection_history_time_window": short(config.duplicate_detection_window),
        "default_message_time_to_live": short(config.message_time_to_live),
        "enable_partitioning": config.ordering == "partition",
    }


def receiving_of(config: OutputSettings) -> dict[str, Any]:
    """Return the receiver attributes of a queue or subscription."""
    return {
        "lock_duration": short(config.lock_duration),
        "max_delivery_count": config.max_delivery_count,
        "requires_session": config.ordering == "session",
    }


def resources(config: OutputSettings, names: Iterable[str]) -> Iterable[Resource]:
    """Yield the entities as resources of this provider, which are created through the namespace's own endpoint."""
    host = host_of(config)
    for name in names:
        at = {"name": name, "namespace": host}
        if config.entity == "queue":
            yield Resource("asb_queue", name, {**at, **receiving_of(config), **settings_of(config)})
            continue
        yield Resource("asb_topic", name, {**at, **settings_of(config)})
        kept = {"default_message_time_to_live": short(config.message_time_to_live)}
        for each in config.subscriptions:
            attributes = {**at, "name": each, "topic": name, **receiving_of(config), **kept}
            yield Resource("asb_subscription", f"{name}/{each}", attributes, depends_on=[("asb_topic", name)])
