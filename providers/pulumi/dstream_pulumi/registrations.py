"""Registered: what a program registered, and whether the plugins that were given can serve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_pulumi.plugin import Plugin
from dstream_pulumi.struct_values import from_struct
from dstream_sdk import InvalidError

STACK = "pulumi:pulumi:Stack"
PROVIDERS = "pulumi:providers:"


@dataclass(frozen=True, slots=True)
class Registered:
    """What a program registered: an object, a component or a provider."""

    urn: str
    request: Any
    """The message RegisterResourceRequest."""

    @property
    def is_object(self) -> bool:
        """Whether it is something that a plugin makes."""
        return bool(self.request.custom) and not self.request.type.startswith(PROVIDERS)

    def __str__(self) -> str:
        """Return it as error messages have it."""
        return f"{self.request.type} {self.request.name!r}"


def check_plugin(
    what: str, token: str, version: str, explicit: Registered | None, plugins: Mapping[str, Plugin]
) -> None:
    """Raise InvalidError unless the plugins can serve a resource or function (`what`, by its token).

    `version` is the one that it asks for, `explicit` the provider resource that it names. Without plugins, any will do.
    """
    if explicit is not None:
        settings = from_struct(explicit.request.object)
        version = str(explicit.request.version or settings.pop("version", "") or version)
        settings.pop("version", None)
        if settings:
            raise InvalidError(
                "Pulumi program configures a provider",
                f"{explicit} sets {', '.join(sorted(settings))}. The plugin has one configuration, which "
                "PluginCatalog(settings=...) gives.",
            )
    if not plugins:
        return
    package = token.partition(":")[0]
    plugin = plugins.get(package)
    if plugin is None:
        raise InvalidError(
            "Pulumi program needs another plugin",
            f"{what} is of {package}, and the plugins given are {', '.join(sorted(plugins))}.",
        )
    if version and plugin.version and version != plugin.version:
        raise InvalidError(
            "Pulumi program needs another version of a plugin",
            f"{what} is of {package} {version}, and the plugin given is {package} {plugin.version}. "
            "The package of the program and its plugin go together.",
        )
