"""Access: from settings to the clients of a namespace. Every client is made here, with time limits."""

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
"""Seconds that opening a link may take."""


def host_of(config: Connection) -> str:
    """Return the host name of the namespace, without talking to it. Raises InvalidError where none is given."""
    if config.connection_string:
        return _endpoint(config.connection_string)
    name = config.namespace.strip().removeprefix("sb://").rstrip("/")
    if not name:
        raise InvalidError(
            "No namespace",
            "give connection_string, or namespace to sign in by Entra ID",
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
            "expected Endpoint=sb://NAME.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=..., as the "
            "portal shows it under Shared access policies",
            path="config.connection_string",
        )
    return host


def _trusted() -> str | None:
    """Return the file with certificate authorities that the environment names; None: those of the library."""
    return os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or None


def _credential(config: Connection) -> Any:
    if config.sas_token:
        from azure.core.credentials import AzureSasCredential

        return AzureSasCredential(config.sas_token)
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=config.client_id or None)


def messages_client(config: Connection) -> ServiceBusClient:
    """Return a client for messages that leaves retries to us."""
    from azure.servicebus import ServiceBusClient, TransportType

    host_of(config)
    more: dict[str, Any] = {"retry_total": 0, "connection_verify": _trusted(), "user_agent": "dstream"}
    more["try_timeout"] = OPENING
    # Said in any case: with a custom endpoint the library would take WebSockets by itself.
    over = TransportType.AmqpOverWebsocket if config.transport == "websockets" else TransportType.Amqp
    more["transport_type"] = over
    if config.custom_endpoint:
        more["custom_endpoint_address"] = "sb://" + config.custom_endpoint.removeprefix("sb://")
    if config.connection_string:
        return ServiceBusClient.from_connection_string(config.connection_string, **more)
    return ServiceBusClient(host_of(config), _credential(config), **more)


def entities_client(config: Connection) -> ServiceBusAdministrationClient:
    """Return a client for entities, which waits as long as the service says (Retry-After)."""
    from azure.servicebus.management import ServiceBusAdministrationClient

    more: dict[str, Any] = {"connection_timeout": 10, "read_timeout": config.management_timeout, "retry_total": 3}
    more["retry_backoff_factor"] = 0.4  # more than this is up to the host
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
    """The entities clients of a process, one for each configuration, shared by its threads."""

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
    """Ask the management plane whether a queue, topic or subscription exists; None where that plane cannot answer.

    The data plane tells a missing entity in ways that look like something else, and takes other rights.
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
