"""PluginCatalog: the resource types of provider plugins, for the role `resource` of a dstream provider."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dstream_pulumi.plugin import Plugin
from dstream_sdk import UNKNOWN, Catalog, ResourceType

if TYPE_CHECKING:
    from dstream_pulumi.plugin_instance import PluginInstance

C = TypeVar("C")
Settings = Callable[[Any], Mapping[str, Mapping[str, Any]]]
"""Returns the configuration of each plugin by name, given the provider's configuration."""


class PluginCatalog(Catalog[C]):
    """Serves every type of a set of plugins. The prefix of a type's name selects its plugin."""

    def __init__(
        self,
        plugins: Sequence[Plugin],
        *,
        settings: Settings | None = None,
        home: str = "",
        holds_data: Collection[str] = (),
    ) -> None:
        """Serve `plugins`. `home` is PULUMI_HOME; `holds_data` names the types whose objects hold data."""
        self._plugins = {plugin.name: plugin for plugin in plugins}
        self._settings, self._home, self._holds_data = settings, home, frozenset(holds_data)
        self._instance: dict[str, PluginInstance] = {}

    def describe(self, given: Mapping[str, Any], types: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the descriptions of the types that the plugins have. A plugin's schema is fetched once and cached."""
        from dstream_pulumi.plugin_instance import PluginInstance

        found: dict[str, Mapping[str, Any]] = {}
        opened: dict[str, PluginInstance] = {}
        try:
            for type_ in types:
                plugin = self._plugin_of(type_, given)
                if plugin is None:
                    continue
                instance = opened.setdefault(plugin.name, PluginInstance(plugin, {}, self.home_of(given)))
                about = instance.describe(type_)
                if about is not None:
                    found[type_] = about.form(holds_data=type_ in self._holds_data)
        finally:
            for instance in opened.values():
                instance.close()
        return found

    def kind(self, config: Any, type: str) -> ResourceType[Any] | None:
        """Return the implementation of a type. A plugin is started on its first request."""
        from dstream_pulumi.plugin_instance import PluginInstance
        from dstream_pulumi.plugin_type import PluginType

        plugin = self._plugin_of(type, config)
        if plugin is None:
            return None
        instance = self._instance.get(plugin.name)
        if instance is None:
            instance = PluginInstance(plugin, self.settings_of(config, plugin), self.home_of(config))
            self._instance[plugin.name] = instance
        about = instance.describe(type)
        if about is None:
            return None
        kind = PluginType(about, instance)
        kind.type = type  # type: ignore[misc]  # a class attribute for types that are classes; these are made of data
        return kind

    def close(self) -> None:
        """Stop the plugins."""
        for instance in self._instance.values():
            instance.close()

    def settings_of(self, config: Any, plugin: Plugin) -> Mapping[str, Any]:
        """Return the settings of a plugin."""
        found = self._settings(config).get(plugin.name, {}) if self._settings is not None else {}
        return {name: value for name, value in found.items() if value is not UNKNOWN}

    def home_of(self, config: Any) -> str:
        """Return PULUMI_HOME. `config` is the provider's configuration, decoded or not."""
        return self._home

    def plugins_of(self, config: Any) -> Mapping[str, Plugin]:
        """Return the plugins by name. `config` is the provider's configuration, decoded or not."""
        return self._plugins

    def _plugin_of(self, type_: str, config: Any) -> Plugin | None:
        plugins = self.plugins_of(config)
        names = sorted((name for name in plugins if type_.startswith((f"{name}_", f"{name}:"))), key=len)
        return plugins[names[-1]] if names else None
