"""Running: a plugin with one configuration, started on first use and restarted after it died."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dstream_pulumi.plugin import Plugin
from dstream_pulumi.resource_type import Described, described
from dstream_pulumi.schemas import Schema, open_schema, settings_as_pulumi
from dstream_sdk import InvalidError

if TYPE_CHECKING:
    from dstream_pulumi.client import Abilities, Client

_STACK, _PROJECT = "dstream", "dstream"


class Running:
    """One plugin with its settings. Any thread may ask."""

    def __init__(self, plugin: Plugin, settings: Mapping[str, Any], home: str = "") -> None:
        """Take the plugin and its settings, in snake_case or with Pulumi's names."""
        self.plugin = plugin
        self._given = settings
        self._home = home
        self._lock = threading.RLock()
        self._client: Client | None = None
        self._spent: list[Client] = []
        """Plugins that were asked to give up: they finish what they still have, and take nothing new."""
        self._schema: Schema | None = None
        self._abilities: Abilities | None = None

    def describe(self, type_: str) -> Described | None:
        """Return a type of the plugin, None if it has none of that name."""
        with self._lock:
            return described(self._opened(), type_)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with Pulumi's names."""
        with self._lock:
            return settings_as_pulumi(self._opened(), self._given)

    @property
    def abilities(self) -> Abilities:
        """What the configured plugin can do."""
        self.client()
        with self._lock:
            if self._abilities is None:
                raise AssertionError("a client is configured before it is handed out")
            return self._abilities

    def client(self) -> Client:
        """Return the plugin, configured; raise ProviderError."""
        with self._lock:
            client = self._started()
            settings = {name: value for name, value in self.settings.items() if value not in (None, "")}
            version = (self.plugin.version or "0").replace(".", "_")
            urn = self.urn(f"pulumi:providers:{self.plugin.name}", f"default_{version}")
            if self.plugin.version:
                settings.setdefault("version", self.plugin.version)
            self._abilities = client.configure(urn, settings)
            return client

    def urn(self, token: str, name: str) -> str:
        """Return the URN of an object, which plugins take its type and name from."""
        return f"urn:pulumi:{_STACK}::{_PROJECT}::{token}::{name}"

    def close(self) -> None:
        """End the plugin."""
        with self._lock:
            for client in [*self._spent, *([self._client] if self._client is not None else [])]:
                client.close()
            if self._schema is not None:
                self._schema.close()

    def _started(self) -> Client:
        if self._client is None or self._client.spent or not self._client.alive:
            from dstream_pulumi.client import Client

            if self._client is not None and self._client.spent:
                self._spent.append(self._client)
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
                    f"{executable} is version {there}, not {required}. Take it off the PATH, or change the version.",
                    path="config.version",
                )
            self._schema = schema
        return self._schema
