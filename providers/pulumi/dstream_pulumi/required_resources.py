"""RequiredResources: the resources that a program registered, as required objects of a task.

Only resources that a plugin creates are objects. Components and providers are not, but their dependencies apply: an
object depends on everything that its parents depend on, and a dependency on a component is one on all objects in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dstream_pulumi.names import snake, type_name
from dstream_pulumi.plugin import Plugin
from dstream_pulumi.private_state import MINIMUM_SECRET_LENGTH, texts_at, unwrap_secrets
from dstream_pulumi.registrations import PROVIDERS, STACK, Registration, check_plugin
from dstream_pulumi.special_values import ARCHIVE, ASSET, SIGNATURE, is_unknown, signature
from dstream_pulumi.struct_values import from_struct
from dstream_pulumi.timeouts import seconds_of
from dstream_sdk import InvalidError, Resource

Pair = tuple[str, str]
"""Type and key."""


class RequiredResources:
    """The resources of a completed program."""

    def __init__(
        self, registered: Mapping[str, Registration], plugins: Mapping[str, Plugin], secrets: Collection[str] = ()
    ) -> None:
        """Take the registrations by URN, the plugins by name, and the secret strings that functions returned."""
        self._registered, self._plugins = registered, plugins
        self._secrets = tuple(text for text in secrets if len(text) >= MINIMUM_SECRET_LENGTH)
        self._children: dict[str, list[Registration]] = {}
        for each in registered.values():
            self._children.setdefault(each.request.parent, []).append(each)

    def resources(self) -> list[Resource]:
        """Return the objects, sorted by type and key. Raises InvalidError for unsupported resources."""
        found: dict[Pair, Resource] = {}
        for each in self._registered.values():
            if each.is_object:
                made = self._resource(each)
                if found.setdefault((made.type, made.key), made) is not made:
                    raise InvalidError(
                        "Pulumi program names two resources alike",
                        f"Two {each.request.type} would both be {made.key!r}: their parents have the same name and "
                        "different types, or a name has a slash. Rename one of them, or one of the parents.",
                    )
        return [found[pair] for pair in sorted(found)]

    def _resource(self, found: Registration) -> Resource:
        request = found.request
        explicit = self._registered.get(request.provider.rpartition("::")[0])
        check_plugin(str(found), request.type, request.version, explicit, self._plugins)
        plain, secrets = unwrap_secrets(from_struct(request.object))
        for name, value in plain.items():
            if _contains_unknown(value):
                self._refuse_unknown(found, name)
        nested = [path for path in request.ignoreChanges if "." in path or "[" in path]
        if nested:
            raise InvalidError(
                "Pulumi program ignores a part of a property",
                f"{found}: ignore_changes names {nested[0]!r}, but only complete properties can be ignored.",
            )
        self._check_replacing(found)
        hidden = {*(str(path[0]) for path in secrets), *request.additionalSecretOutputs}
        hidden |= {name for name, value in plain.items() if self._has_secret(value)}
        return Resource(
            type=type_name(request.type),
            key=self._key(found),
            attributes={snake(name): _attribute(value) for name, value in plain.items() if value is not None},
            depends_on=self._depends_on(found),
            aliases=self._aliases(found),
            sensitive=[(snake(name),) for name in sorted(hidden)],
            prevent_destroy=bool(request.protect),
            ignore_changes=[snake(name) for name in request.ignoreChanges],
            create_before_destroy=bool(request.deleteBeforeReplaceDefined and not request.deleteBeforeReplace),
            timeouts=seconds_of(request.customTimeouts),
        )

    def _has_secret(self, value: Any) -> bool:
        """Return whether a value contains a secret that a function returned."""
        return bool(self._secrets) and any(secret in text for text in texts_at(value, [()]) for secret in self._secrets)

    # -- names -----------------------------------------------------------------------------------

    def _parent(self, found: Registration) -> Registration | None:
        parent = self._registered.get(found.request.parent)
        return None if parent is None or parent.request.type == STACK else parent

    def _key(self, found: Registration) -> str:
        parent = self._parent(found)
        name = str(found.request.name)
        return name if parent is None else f"{self._key(parent)}/{name}"

    def _aliases(self, found: Registration) -> list[Pair]:
        own = (type_name(found.request.type), self._key(found))
        return [pair for pair in dict.fromkeys(self._earlier(found)) if pair != own]

    def _earlier(self, found: Registration) -> Iterator[Pair]:
        """Yield the earlier names of an object, by its aliases and those of its parents."""
        parent, name = self._parent(found), str(found.request.name)
        token = str(found.request.type)
        before = [] if parent is None else [key for _, key in self._earlier(parent)]
        now = [] if parent is None else [self._key(parent)]
        named = [(token, name, [*now, *before] or [""])]
        for alias in found.request.aliases:
            if alias.WhichOneof("alias") == "urn":
                parts = alias.urn.split("::")
                chain = parts[2].split("$") if len(parts) > 3 else [token]
                named.append((chain[-1], parts[-1], [*now, *before] if len(chain) > 1 and parent else [""]))
                continue
            spec = alias.spec
            above = [*now, *before] or [""]
            if spec.noParent:
                above = [""]
            elif spec.parentUrn:
                known = self._registered.get(spec.parentUrn)
                is_resource = known is not None and known.request.type != STACK
                above = [self._key(known)] if known is not None and is_resource else [_name_in(spec.parentUrn)]
            named.append((spec.type or token, spec.name or name, above))
        for each_token, each_name, parents in named:
            for above_key in parents:
                yield type_name(each_token), f"{above_key}/{each_name}" if above_key else each_name
                # A child whose name starts with its parent's was renamed with the parent.
                last, present = above_key.rpartition("/")[2], now[0].rpartition("/")[2] if now else ""
                if above_key and present and each_name.startswith(present) and last != present:
                    yield type_name(each_token), f"{above_key}/{last}{each_name.removeprefix(present)}"

    # -- dependencies ----------------------------------------------------------------------------

    def _depends_on(self, found: Registration) -> list[Pair]:
        own = (type_name(found.request.type), self._key(found))
        pairs: set[Pair] = set()
        above: Registration | None = found
        while above is not None:
            for urn in (*above.request.dependencies, above.request.deletedWith):
                pairs.update(self._objects_of(urn))
            above = self._parent(above)
            if above is not None and above.is_object:
                pairs.add((type_name(above.request.type), self._key(above)))
        return sorted(pairs - {own})

    def _objects_of(self, urn: str) -> Iterator[Pair]:
        """Yield the objects of a dependency: the object itself, or all objects in a component."""
        found = self._registered.get(urn)
        if found is None or found.request.type.startswith(PROVIDERS):
            return
        if found.is_object:
            yield type_name(found.request.type), self._key(found)
        else:
            for child in self._children.get(urn, ()):
                yield from self._objects_of(child.urn)

    # -- refusals --------------------------------------------------------------------------------

    def _check_replacing(self, found: Registration) -> None:
        """Refuse replace_on_changes, except the paths that the plugin's schema has too."""
        paths = list(found.request.replaceOnChanges)
        if not paths:
            return
        plugin = self._plugins.get(found.request.type.partition(":")[0])
        about = None
        if plugin is not None:
            from dstream_pulumi.plugin_instance import PluginInstance

            running = PluginInstance(plugin, {})
            try:
                about = running.describe(found.request.type)
            finally:
                running.close()
        left = paths if about is None else [path for path in paths if not about.forces(path)]
        if left:
            why = "The plugin decides which changes replace an object."
            if about is None:
                why = "Only paths of the plugin's schema are supported: name the plugin in collect(plugins=[...])."
            raise InvalidError(
                "Pulumi program uses an unsupported option", f"{found}: replace_on_changes {', '.join(left)}. {why}"
            )

    def _refuse_unknown(self, found: Registration, name: str) -> None:
        sources = [self._registered.get(urn) for urn in found.request.propertyDependencies[name].urns]
        of = ", ".join(str(each) for each in sources if each is not None) or "another resource"
        raise InvalidError(
            "Pulumi program uses an unknown value",
            f"{found}: {snake(name)} uses an output of {of} that is known only after it is created. Write the value "
            "itself, such as the name, and use depends_on or parent for the order.",
        )


def _name_in(urn: str) -> str:
    """Return the key of a parent that no longer exists, from its URN; "" for the stack."""
    parts = urn.split("::")
    return "" if len(parts) < 4 or parts[2] == STACK else parts[-1]


def _contains_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_contains_unknown, value.values()))
    if isinstance(value, list):
        return any(map(_contains_unknown, value))
    return is_unknown(value)


def _attribute(value: Any) -> Any:
    """Return a value as an attribute, with assets in the form of configurations."""
    if signature(value) in (ASSET, ARCHIVE):
        return {name: _attribute(inner) for name, inner in value.items() if name not in (SIGNATURE, "hash")}
    if isinstance(value, Mapping):
        return {name: _attribute(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_attribute(inner) for inner in value]
    return value
