"""PluginCatalog: the types of provider plugins, for the role `resource` of a dstream provider."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dstream_pulumi.plugin import Plugin
from dstream_sdk import UNKNOWN, Catalog, ResourceType

if TYPE_CHECKING:
    from dstream_pulumi.plugin_instance import Running

C = TypeVar("C")
Settings = Callable[[Any], Mapping[str, Mapping[str, Any]]]
"""Returns each plugin's configuration by the plugin's name, from the provider's own configuration."""


class PluginCatalog(Catalog[C]):
    """Serves every type of some plugins; a type belongs to the plugin that its name begins with."""

    def __init__(
        self,
        plugins: Sequence[Plugin],
        *,
        settings: Settings | None = None,
        home: str = "",
        holds_data: Collection[str] = (),
    ) -> None:
        """Take the plugins and how they are configured; `home` is PULUMI_HOME, `holds_data` names types that do."""
        self._plugins = {plugin.name: plugin for plugin in plugins}
        self._settings, self._home, self._holds_data = settings, home, frozenset(holds_data)
        self._running: dict[str, Running] = {}

    def describe(self, given: Mapping[str, Any], types: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the descriptions of those types that the plugins have. Asks a plugin once, then its cached schema."""
        from dstream_pulumi.plugin_instance import Running

        found: dict[str, Mapping[str, Any]] = {}
        opened: dict[str, Running] = {}
        try:
            for type_ in types:
                plugin = self._plugin_of(type_, given)
                if plugin is None:
                    continue
                running = opened.setdefault(plugin.name, Running(plugin, {}, self.home_of(given)))
                about = running.describe(type_)
                if about is not None:
                    found[type_] = about.form(holds_data=type_ in self._holds_data)
        finally:
            for running in opened.values():
                running.close()
        return found

    def kind(self, config: Any, type: str) -> ResourceType[Any] | None:
        """Return what serves a type. Plugins are started when the first object is asked about."""
        from dstream_pulumi.plugin_instance import Running
        from dstream_pulumi.plugin_type import PluginType

        plugin = self._plugin_of(type, config)
        if plugin is None:
            return None
        running = self._running.get(plugin.name)
        if running is None:
            running = Running(plugin, self.settings_of(config, plugin), self.home_of(config))
            self._running[plugin.name] = running
        about = running.describe(type)
        if about is None:
            return None
        kind = PluginType(about, running)
        kind.type = type  # type: ignore[misc]  # a class attribute for types that are classes; these are made of data
        return kind

    def close(self) -> None:
        """End the plugins."""
        for running in self._running.values():
            running.close()

    def settings_of(self, config: Any, plugin: Plugin) -> Mapping[str, Any]:
        """Return a plugin's settings."""
        found = self._settings(config).get(plugin.name, {}) if self._settings is not None else {}
        return {name: value for name, value in found.items() if value is not UNKNOWN}

    def home_of(self, config: Any) -> str:
        """Return PULUMI_HOME; `config` is the provider's configuration, decoded or as it came."""
        return self._home

    def plugins_of(self, config: Any) -> Mapping[str, Plugin]:
        """Return the plugins by name, as above."""
        return self._plugins

    def _plugin_of(self, type_: str, config: Any) -> Plugin | None:
        plugins = self.plugins_of(config)
        names = sorted((name for name in plugins if type_.startswith((f"{name}_", f"{name}:"))), key=len)
        return plugins[names[-1]] if names else None
