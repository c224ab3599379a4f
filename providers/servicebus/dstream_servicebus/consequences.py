"""Consequences: how full the entities are, and what apply and run would fail on in the namespace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dstream_sdk import Consequence, DeniedError, Finding
from dstream_servicebus.clients import CLIENTS, host_of
from dstream_servicebus.service_errors import of_entities
from dstream_servicebus.settings import InputSettings, OutputSettings

if TYPE_CHECKING:
    from azure.servicebus.management import ServiceBusAdministrationClient

_FULL, _NEARLY = 0.95, 0.8
_MEGABYTE = 1024 * 1024
_YEAR = 365 * 24 * 3600

Reported = Iterator[Consequence | Finding]


class _Filled(NamedTuple):
    """An entity of the namespace: how many messages and bytes it holds, and how many bytes it can hold."""

    messages: int | None
    size: int
    limit: int


def consequences(config: OutputSettings, names: Sequence[str]) -> Reported:
    """Report on the entities of a task. Raises ProviderError."""
    client = CLIENTS.of(config)
    try:
        namespace = client.get_namespace_properties()
        filled = _filled(client, config.entity)
    except Exception as problem:  # noqa: BLE001 - sorted by of_entities
        error = of_entities(problem, "read the namespace")
        if not isinstance(error, DeniedError):
            raise error from None
        if config.manage:
            yield _denied(config, error)
        return
    if str(namespace.messaging_sku) == "Basic" and config.manage:
        yield from _basic(config)
    for name in names:
        found = filled.get(name.lower())
        if found is None and not config.manage:
            yield Finding(
                "Queues are missing" if config.entity == "queue" else "Topics are missing",
                f"the {config.entity} {name} does not exist, and manage is false.",
                f"manage = true; or az servicebus {config.entity} create --name {name} --namespace-name "
                f"{host_of(config).partition('.')[0]} --resource-group GROUP",
                "config.manage",
            )
        elif found is not None and found.limit and found.size >= found.limit * _NEARLY:
            yield Consequence(
                "capacity",
                f"the {config.entity} {name} is {found.size / found.limit:.0%} full",
                "breaking" if found.size >= found.limit * _FULL else "non-breaking",
                f"It can hold {found.limit // _MEGABYTE} MB. A full {config.entity} stops the task until messages are "
                "read.",
                bytes=found.size,
                messages=found.messages,
            )


def input_consequences(config: InputSettings, name: str) -> Reported:
    """Report on the queue or subscription that an input reads; nothing if its key may only listen.

    Raises ProviderError.
    """
    from azure.core.exceptions import ResourceNotFoundError

    client = CLIENTS.of(config)
    entity: Any
    held: Any
    try:
        if config.queue:
            entity, held = client.get_queue(config.queue), client.get_queue_runtime_properties(config.queue)
        else:
            at = (config.topic, config.subscription)
            entity, held = client.get_subscription(*at), client.get_subscription_runtime_properties(*at)
    except ResourceNotFoundError:
        text = f"{name} does not exist in {host_of(config)}; another task may create it."
        yield Finding("Queue not found", text, "apply the task that writes to it first", certain=False)
        return
    except Exception as problem:  # noqa: BLE001 - sorted by of_entities
        error = of_entities(problem, f"read {name}")
        if isinstance(error, DeniedError):
            return
        raise error from None
    if bool(entity.requires_session) != config.sessions and not config.dead_letters:
        needs = "requires" if entity.requires_session else "does not have"
        fix = f"sessions = {str(bool(entity.requires_session)).lower()}"
        yield Finding("Sessions do not match", f"{name} {needs} sessions.", fix, "config.sessions")
    waiting = held.dead_letter_message_count if config.dead_letters else held.active_message_count
    yield Consequence("resume", f"the messages that wait in {name} are read", stream=name, messages=waiting or 0)
    kept = entity.default_message_time_to_live
    if kept is not None and kept.total_seconds() < _YEAR and not config.dead_letters:
        hours = round(kept.total_seconds() / 3600, 2)
        text = f"a message that waits in {name} expires after this time"
        yield Consequence("retention", text, stream=name, hours=hours)


def _filled(client: ServiceBusAdministrationClient, entity: str) -> dict[str, _Filled]:
    """Return the entities of a namespace by their name in lower case."""
    if entity == "topic":
        sizes: Any = {each.name: each.size_in_bytes for each in client.list_topics_runtime_properties()}
        limits = ((each.name, each.max_size_in_megabytes) for each in client.list_topics())
        counts: dict[str, int] = {}
    else:
        every = list(client.list_queues_runtime_properties())
        sizes = {each.name: each.size_in_bytes for each in every}
        counts = {each.name: each.total_message_count or 0 for each in every}
        limits = ((each.name, each.max_size_in_megabytes) for each in client.list_queues())
    return {
        name.lower(): _Filled(counts.get(name), sizes.get(name) or 0, (limit or 0) * _MEGABYTE)
        for name, limit in limits
    }


def _denied(config: OutputSettings, error: DeniedError) -> Finding:
    host = host_of(config)
    if config.connection_string:
        fix = "a connection string of a shared access policy with the right Manage, or manage = false"
    else:
        scope = (
            f"/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.ServiceBus/namespaces/{host.partition('.')[0]}"
        )
        fix = (
            'az role assignment create --role "Azure Service Bus Data Owner" --assignee PRINCIPAL --scope '
            f"{scope}; or manage = false"
        )
    text = f"the credentials may not manage the entities of {host}. {error.detail}"
    return Finding("Right to manage entities missing", text, fix, "config.manage")


def _basic(config: OutputSettings) -> Iterator[Finding]:
    lacking = [
        (config.entity == "topic", "topics", 'entity = "queue"'),
        (config.ordering == "session", "sessions", 'ordering = "queue"'),
        (config.entity == "queue" and config.duplicate_detection, "duplicate detection", "duplicate_detection = false"),
    ]
    for lacks, what, setting in lacking:
        if lacks:
            yield Finding(
                "Not in tier Basic",
                f"the namespace {host_of(config)} is in tier Basic, which has no {what}.",
                f"{setting}; or az servicebus namespace update --sku Standard --name "
                f"{host_of(config).partition('.')[0]} --resource-group GROUP",
                f"config.{setting.partition(' ')[0]}",
            )
