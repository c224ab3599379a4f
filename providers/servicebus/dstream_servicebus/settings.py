"""Settings: what users write for the output, the input and `provider` blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dstream_sdk import InvalidError, setting
from dstream_servicebus.durations import seconds

QUEUE_NAME = "{table}_cdc_events"
_TABLES = "names of tables, with or without schema; * and ? are wildcards"


@dataclass(frozen=True)
class Connection:
    """The namespace and the credentials: a connection string, or a namespace with a token or Entra ID."""

    connection_string: str = setting(
        "",
        sensitive=True,
        aliases=["asb_connection_string"],
        description="connection string of the namespace, with a key or a token",
    )
    namespace: str = setting("", description="name or host name of the namespace; signs in with Entra ID")
    sas_token: str = setting("", sensitive=True, description="shared access signature, used with namespace")
    client_id: str = setting("", description="the user-assigned managed identity to sign in as")
    transport: Literal["amqp", "websockets"] = setting(
        "amqp", description="websockets: send messages over port 443, if the network blocks 5671"
    )
    custom_endpoint: str = setting("", description="host and port of a gateway to the namespace, for messages")
    management_timeout: int = setting(60, minimum=1, description="timeout in seconds of calls about entities")


@dataclass(frozen=True)
class OutputSettings(Connection):
    """Settings of the output."""

    tables: list[str] = setting(
        default_factory=list, description=f"tables to send: {_TABLES}; all tables of the input by default"
    )
    entity: Literal["queue", "topic"] = setting("queue", description="the type of each table's entity")
    queue_name: str = setting(
        QUEUE_NAME,
        aliases=["topic_name", "queue_name_template"],
        description="name of each queue, with {table}, {schema}, {name}, {task}; without a field, one for all tables",
    )
    queues: dict[str, str] = setting(default_factory=dict, aliases=["topics"], description="other names, by table")
    subscriptions: list[str] = setting(default_factory=list, description="subscriptions of each topic")
    source_host: str = setting(
        "", description="of the older provider: queues are named as it did, {source_host}-{source_database}-{table}"
    )
    source_database: str = setting("", description="of the older provider, beside source_host")
    on_unknown_table: Literal["fail", "create", "reject"] = setting(
        "fail", description="what to do about a table without a queue: stop, create one, or reject its records"
    )
    manage: bool = setting(True, description="false: the queues exist already and are not part of the plan")

    ordering: Literal["queue", "session", "partition"] = setting(
        "queue", description="what keeps the changes of a row in order: the queue, a session, or a partition key"
    )
    ordering_keys: int = setting(
        64, minimum=0, description="number of sessions or partition keys that rows are spread over; 0: one for each row"
    )
    format: Literal["envelope", "data", "cloudevents"] = setting("envelope", description="content of a message")

    lock_duration: str = setting("1m", description="how long a receiver may hold a message, at most 5m")
    max_delivery_count: int = setting(10, minimum=1, maximum=2000, description="deliveries before it is a dead letter")
    max_size_in_megabytes: int = setting(1024, description="of a queue: 1024, 2048, 3072, 4096 or 5120 (Premium: more)")
    message_time_to_live: str = setting("unlimited", description="how long a message is kept, such as 14d")
    duplicate_detection: bool = setting(True, description="drop repeats by message_id; not in tier Basic")
    duplicate_detection_window: str = setting("10m", description="how long a message_id is remembered, up to 7d")

    subscription_id: str = setting("", description="Azure subscription, for queues by Resource Manager")
    resource_group: str = setting("", description="with namespace: create queues by Resource Manager, through Pulumi")
    location: str = setting("", description="with resource_group: create the namespace too, in this region")
    tier: Literal["Basic", "Standard", "Premium"] = setting("Standard", description="tier of a created namespace")

    send_timeout: int = setting(60, minimum=1, description="timeout in seconds of one send")
    retry_timeout: int = setting(300, minimum=1, description="seconds to retry throttling and lost connections")
    throttle_wait: float = setting(
        10.0, minimum=0, description="seconds to wait when the service reports that it is busy"
    )

    def __post_init__(self) -> None:
        """Refuse invalid combinations."""
        for name in ("lock_duration", "message_time_to_live", "duplicate_detection_window"):
            try:
                seconds(getattr(self, name))
            except ValueError as problem:
                raise InvalidError("Invalid setting", f"config.{name}: {problem}", path=f"config.{name}") from None
        if self.entity == "queue" and self.subscriptions:
            what = 'config.subscriptions: a queue has none; set entity = "topic"'
            raise InvalidError("Invalid setting", what, path="config.subscriptions")
        if self.entity == "topic" and self.manage and not self.subscriptions:
            what = "config.subscriptions: name at least one; a topic without any keeps no message"
            raise InvalidError("Invalid setting", what, path="config.subscriptions")
        if bool(self.source_host) != bool(self.source_database):
            what = "config.source_database: source_host and source_database belong together"
            raise InvalidError("Invalid setting", what, path="config.source_database")
        for name in ("location", "subscription_id"):
            if getattr(self, name) and not self.resource_group:
                raise InvalidError("Invalid setting", f"config.{name}: needs resource_group", path=f"config.{name}")
        if self.resource_group and not self.namespace:
            what = "config.namespace: is required with resource_group"
            raise InvalidError("Invalid setting", what, path="config.namespace")

    @property
    def by_resource_manager(self) -> bool:
        """Return whether entities are created by Azure Resource Manager instead of the namespace's own endpoint.

        The block of the older provider also names a resource group, but uses only its connection string.
        """
        return bool(self.resource_group) and not (self.source_host and self.connection_string)

    @property
    def older_names(self) -> bool:
        """Return whether queues are named as the older provider named them."""
        return bool(self.source_host) and self.queue_name == QUEUE_NAME


@dataclass(frozen=True, kw_only=True)
class InputSettings(Connection):
    """Settings of the input."""

    queue: str = setting("", description="the queue to read")
    topic: str = setting("", description="the topic to read, with subscription")
    subscription: str = setting("", description="the subscription of the topic")
    dead_letters: bool = setting(False, description="read its dead letters instead")
    sessions: bool = setting(False, description="the queue requires sessions; they are read one after the other")
    format: Literal["envelope", "message"] = setting(
        "envelope",
        description="envelope: a message is an envelope as the output writes it; message: its body is the data",
    )
    prefetch: int = setting(500, minimum=1, maximum=2000, description="maximum number of messages in flight")
    max_wait: float = setting(1.0, minimum=0.1, description="seconds to wait for messages before a checkpoint")
    idle_seconds: float = setting(
        5.0, minimum=0.1, description="with -until-idle: stop after this long without messages"
    )

    def __post_init__(self) -> None:
        """Refuse anything but exactly one source."""
        if bool(self.queue) == bool(self.topic):
            raise InvalidError("Invalid setting", "config.queue: name either a queue or a topic", path="config.queue")
        if bool(self.topic) != bool(self.subscription):
            what = "config.subscription: topic and subscription belong together"
            raise InvalidError("Invalid setting", what, path="config.subscription")
