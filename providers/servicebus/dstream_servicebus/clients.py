"""Clients: creates the clients of a namespace from the settings, each with timeouts."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dstream_sdk import InvalidError
from dstream_servicebus.settings import Connection

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusClient
    from azure.servicebus.management import ServiceBusAdministrationClient

SUFFIX = ".servicebus.windows.net"
OPENING = 60.0
"""Timeout in seconds for opening a link."""


def host_of(config: Connection) -> str:
    """Return the host name of the namespace, without connecting. Raises InvalidError if none is configured."""
    if config.connection_string:
        return _endpoint(config.connection_string)
    name = config.namespace.strip().removeprefix("sb://").rstrip("/")
    if not name:
        raise InvalidError(
            "No namespace",
            "set connection_string, or namespace to sign in with Entra ID",
            path="config.connection_string",
        )
    return name if "." in name else name + SUFFIX


def _endpoint(text: str) -> str:
    fields = dict(each.split("=", 1) for each in text.strip().split(";") if "=" in each)
    lower = {key.strip().lower(): value.strip() for key, value in fields.items()}
    host = urlsplit(lower.get("endpoint", "")).netloc
    key = lower.get("sharedaccesskeyname") and lower.get("sharedaccesskey")
    if not host or not (key or lower.get("sharedaccesssignature")):
        raise InvalidError(
            "Invalid connection string",
            "expected Endpoint=sb://NAME.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=..., as shown "
            "in the portal under Shared access policies",
            path="config.connection_string",
        )
    return host


def _trusted() -> str | None:
    """Return the CA file that the environment names, or None for the library's default."""
    return os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or None


def _credential(config: Connection) -> Any:
    if config.sas_token:
        from azure.core.credentials import AzureSasCredential

        return AzureSasCredential(config.sas_token)
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=config.client_id or None)


def messages_client(config: Connection) -> ServiceBusClient:
    """Return a client for messages, without retries of its own."""
    from azure.servicebus import ServiceBusClient, TransportType

    host_of(config)
    more: dict[str, Any] = {"retry_total": 0, "connection_verify": _trusted(), "user_agent": "dstream"}
    more["try_timeout"] = OPENING
    # Always explicit: with a custom endpoint, the library would switch to WebSockets.
    over = TransportType.AmqpOverWebsocket if config.transport == "websockets" else TransportType.Amqp
    more["transport_type"] = over
    if config.custom_endpoint:
        more["custom_endpoint_address"] = "sb://" + config.custom_endpoint.removeprefix("sb://")
    if config.connection_string:
        return ServiceBusClient.from_connection_string(config.connection_string, **more)
    return ServiceBusClient(host_of(config), _credential(config), **more)


def entities_client(config: Connection) -> ServiceBusAdministrationClient:
    """Return a client for entities, which honors the service's Retry-After."""
    from azure.servicebus.management import ServiceBusAdministrationClient

    more: dict[str, Any] = {"connection_timeout": 10, "read_timeout": config.management_timeout, "retry_total": 3}
    more["retry_backoff_factor"] = 0.4  # the host does all longer retries
    more["user_agent"] = "dstream"
    if trusted := _trusted():
        more["connection_verify"] = trusted
    if config.connection_string:
        return ServiceBusAdministrationClient.from_connection_string(config.connection_string, **more)
    if config.sas_token:
        string = f"Endpoint=sb://{host_of(config)}/;SharedAccessSignature={config.sas_token}"
        return ServiceBusAdministrationClient.from_connection_string(string, **more)
    return ServiceBusAdministrationClient(host_of(config), _credential(config), **more)


class Clients:
    """The clients for entities, one for each configuration. Safe for concurrent use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Connection, ServiceBusAdministrationClient] = {}

    def of(self, config: Connection) -> ServiceBusAdministrationClient:
        """Return the client of a configuration."""
        names = ("connection_string", "namespace", "sas_token", "client_id", "management_timeout")
        key = Connection(**{name: getattr(config, name) for name in names})
        with self._lock:
            if key not in self._known:
                self._known[key] = entities_client(config)
            return self._known[key]


CLIENTS = Clients()


def exists(config: Connection, kind: str, name: str) -> bool | None:
    """Return whether an entity exists according to the management plane, or None if that is not accessible.

    The data plane reports a missing entity in ambiguous ways, and requires other rights.
    """
    from azure.core.exceptions import AzureError, ResourceNotFoundError

    client = CLIENTS.of(config)
    try:
        if kind == "topic":
            client.get_topic(name)
        elif kind == "subscription":
            client.get_subscription(*name.rsplit("/", 1))
        else:
            client.get_queue(name)
    except ResourceNotFoundError:
        return False
    except AzureError:
        return None
    return True
