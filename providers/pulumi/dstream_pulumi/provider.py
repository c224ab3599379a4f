"""The executable `dstream-resource-pulumi`: one plugin, named by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_pulumi.catalog import PluginCatalog
from dstream_pulumi.plugin import Plugin
from dstream_sdk import UNKNOWN, InvalidError, Provider, decode, setting


@dataclass(frozen=True)
class Settings:
    """What a `provider` block configures."""

    plugin: str = setting(description="the provider plugin, as azure-native")
    version: str = setting("", description="its version, as 3.29.0; without one, what is on PATH, else the newest")
    path: str = setting("", description="its executable, instead of a search by name")
    settings: dict[str, Any] = setting(default_factory=dict, description="the plugin's own configuration")
    holds_data: list[str] = setting(
        default_factory=list, description="types whose objects hold data: losing one needs -allow-data-loss"
    )
    pulumi_home: str = setting("", description="where Pulumi keeps its plugins, if not in ~/.pulumi")


class OnePlugin(PluginCatalog[Settings]):
    """The types of the plugin that the configuration names."""

    def __init__(self) -> None:
        """Know nothing before the configuration is there."""
        super().__init__([])

    def describe(self, given: Mapping[str, Any], types: Any) -> Mapping[str, Mapping[str, Any]]:
        """Return the descriptions, where the plugin's name and version are known."""
        if any(given.get(name) is UNKNOWN for name in ("plugin", "version", "path", "pulumi_home")):
            raise InvalidError(
                "Plugin is not known at plan",
                "plugin, version, path and pulumi_home are known before anything is made.",
            )
        known = {name: value for name, value in given.items() if name != "settings"}
        config = decode(Settings, known)
        self._holds_data = frozenset(config.holds_data)
        return super().describe(known, types)

    def settings_of(self, config: Any, plugin: Plugin) -> Mapping[str, Any]:
        """Return what the configuration says under `settings`."""
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
