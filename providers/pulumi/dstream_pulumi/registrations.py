"""Registrations: the resources that a program registers, and the check that the given plugins can serve them."""

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
class Registration:
    """A registered resource: an object, a component or a provider."""

    urn: str
    request: Any
    """The message RegisterResourceRequest."""

    @property
    def is_object(self) -> bool:
        """Whether a plugin creates it."""
        return bool(self.request.custom) and not self.request.type.startswith(PROVIDERS)

    def __str__(self) -> str:
        """Return its type and name, for messages."""
        return f"{self.request.type} {self.request.name!r}"


def check_plugin(
    what: str, token: str, version: str, explicit: Registration | None, plugins: Mapping[str, Plugin]
) -> None:
    """Raise InvalidError unless the plugins can serve a resource or function, by its token.

    `what` names it in messages, `version` is the version that it requires, and `explicit` the provider resource that it
    refers to. Without plugins, nothing is checked.
    """
    if explicit is not None:
        settings = from_struct(explicit.request.object)
        version = str(explicit.request.version or settings.pop("version", "") or version)
        settings.pop("version", None)
        if settings:
            raise InvalidError(
                "Pulumi program configures a provider",
                f"{explicit} sets {', '.join(sorted(settings))}. The plugin has one configuration: "
                "PluginCatalog(settings=...).",
            )
    if not plugins:
        return
    package = token.partition(":")[0]
    plugin = plugins.get(package)
    if plugin is None:
        raise InvalidError(
            "Pulumi program needs another plugin",
            f"{what} belongs to {package}, and the given plugins are {', '.join(sorted(plugins))}.",
        )
    if version and plugin.version and version != plugin.version:
        raise InvalidError(
            "Pulumi program needs another version of a plugin",
            f"{what} belongs to {package} {version}, and the given plugin is {package} {plugin.version}. "
            "Use the same version of the program's package and of the plugin.",
        )
