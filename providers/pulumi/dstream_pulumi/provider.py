"""The executable `dstream-resource-pulumi`: serves the plugin that its configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_pulumi.catalog import PluginCatalog
from dstream_pulumi.plugin import Plugin
from dstream_sdk import UNKNOWN, InvalidError, Provider, decode, setting


@dataclass(frozen=True)
class Settings:
    """The settings of the `provider` block."""

    plugin: str = setting(description="the provider plugin, such as azure-native")
    version: str = setting("", description="its version, such as 3.29.0; by default the one on PATH, else the newest")
    path: str = setting("", description="path of its executable; searched by name by default")
    settings: dict[str, Any] = setting(default_factory=dict, description="the plugin's own configuration")
    holds_data: list[str] = setting(
        default_factory=list, description="types whose objects hold data: losing one needs -allow-data-loss"
    )
    pulumi_home: str = setting("", description="Pulumi's home folder, which has the plugins; ~/.pulumi by default")


class OnePlugin(PluginCatalog[Settings]):
    """The types of the plugin that the configuration names."""

    def __init__(self) -> None:
        """Start without plugins; the configuration names one."""
        super().__init__([])

    def describe(self, given: Mapping[str, Any], types: Any) -> Mapping[str, Mapping[str, Any]]:
        """Return the descriptions of types. Raises InvalidError if the plugin's name or version is unknown."""
        if any(given.get(name) is UNKNOWN for name in ("plugin", "version", "path", "pulumi_home")):
            raise InvalidError(
                "Plugin is not known at plan",
                "plugin, version, path and pulumi_home must be known before apply.",
            )
        known = {name: value for name, value in given.items() if name != "settings"}
        config = decode(Settings, known)
        self._holds_data = frozenset(config.holds_data)
        return super().describe(known, types)

    def settings_of(self, config: Any, plugin: Plugin) -> Mapping[str, Any]:
        """Return the `settings` of the configuration."""
        found: Mapping[str, Any] = _decoded(config).settings
        return found

    def home_of(self, config: Any) -> str:
        """Return PULUMI_HOME."""
        return _decoded(config).pulumi_home

    def plugins_of(self, config: Any) -> Mapping[str, Plugin]:
        """Return the one plugin."""
        config = _decoded(config)
        return {config.plugin: Plugin(config.plugin, config.version, config.path)}


def _decoded(config: Any) -> Settings:
    return config if isinstance(config, Settings) else decode(Settings, config)


PROVIDER = Provider("pulumi", distribution="dstream-provider-pulumi", catalog=OnePlugin())
