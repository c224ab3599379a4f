"""PluginInstance: a plugin with one configuration. It starts on first use, and again after it died."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dstream_pulumi.plugin import Plugin
from dstream_pulumi.resource_type import ResourceTypeSpec, resource_type_spec
from dstream_pulumi.schemas import Schema, open_schema, settings_as_pulumi
from dstream_sdk import InvalidError

if TYPE_CHECKING:
    from dstream_pulumi.client import Capabilities, Client

_STACK, _PROJECT = "dstream", "dstream"


class PluginInstance:
    """A plugin with its settings. Safe for concurrent use."""

    def __init__(self, plugin: Plugin, settings: Mapping[str, Any], home: str = "") -> None:
        """Take the plugin and its settings, with names in snake_case or as in Pulumi."""
        self.plugin = plugin
        self._given = settings
        self._home = home
        self._lock = threading.RLock()
        self._client: Client | None = None
        self._cancelled: list[Client] = []
        """Cancelled clients, which finish their requests and accept no new ones."""
        self._schema: Schema | None = None
        self._capabilities: Capabilities | None = None

    def describe(self, type_: str) -> ResourceTypeSpec | None:
        """Return a type of the plugin, or None if the plugin does not have it."""
        with self._lock:
            return resource_type_spec(self._opened(), type_)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with Pulumi's names."""
        with self._lock:
            return settings_as_pulumi(self._opened(), self._given)

    @property
    def capabilities(self) -> Capabilities:
        """The optional features of the configured plugin."""
        self.client()
        with self._lock:
            if self._capabilities is None:
                raise AssertionError("a client is configured before it is handed out")
            return self._capabilities

    def client(self) -> Client:
        """Return a client of the configured plugin. Raises ProviderError."""
        with self._lock:
            client = self._started()
            settings = {name: value for name, value in self.settings.items() if value not in (None, "")}
            version = (self.plugin.version or "0").replace(".", "_")
            urn = self.urn(f"pulumi:providers:{self.plugin.name}", f"default_{version}")
            if self.plugin.version:
                settings.setdefault("version", self.plugin.version)
            self._capabilities = client.configure(urn, settings)
            return client

    def urn(self, token: str, name: str) -> str:
        """Return the URN of an object, from which plugins take its type and name."""
        return f"urn:pulumi:{_STACK}::{_PROJECT}::{token}::{name}"

    def close(self) -> None:
        """Stop the plugin."""
        with self._lock:
            for client in [*self._cancelled, *([self._client] if self._client is not None else [])]:
                client.close()
            if self._schema is not None:
                self._schema.close()

    def _started(self) -> Client:
        if self._client is None or self._client.cancelled or not self._client.alive:
            from dstream_pulumi.client import Client

            if self._client is not None and self._client.cancelled:
                self._cancelled.append(self._client)
            elif self._client is not None:
                self._client.close()
            self._client = Client(self.plugin.find(self._home))
        return self._client

    def _opened(self) -> Schema:
        if self._schema is None:
            executable = self.plugin.find(self._home)
            schema = open_schema(self.plugin, executable, lambda: self._started().schema())
            required, there = self.plugin.version, schema.version.removeprefix("v")
            if required and there and required != there:
                schema.close()
                raise InvalidError(
                    "Plugin has another version",
                    f"{executable} is version {there}, not {required}. Remove it from PATH, or change the version.",
                    path="config.version",
                )
            self._schema = schema
        return self._schema
