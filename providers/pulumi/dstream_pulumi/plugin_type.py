"""PluginType: serves one resource type of a plugin over dstream's protocol.

Planning follows Pulumi's engine: Check fills in defaults and generated names, Diff returns the changes and whether they
force replacement, and a preview of Create returns outputs that are known before creation. For a replacement, Check is
called again without the old inputs, so that it generates new names.
"""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dstream_pulumi.inputs import Inputs, configured_only, has_unknown, has_withheld, known, seconds_left, show_replaced
from dstream_pulumi.names import logical_name
from dstream_pulumi.paths import first_step
from dstream_pulumi.private_state import (
    Path,
    keep_unchanged,
    make_private_state,
    mark_secrets,
    read_private_state,
    texts_at,
    unwrap_secrets,
)
from dstream_pulumi.resource_type import ResourceTypeSpec
from dstream_pulumi.stable_outputs import stable_outputs
from dstream_pulumi.struct_values import from_struct, to_struct
from dstream_pulumi.translate import to_attributes, to_properties
from dstream_pulumi.volatile_outputs import is_volatile
from dstream_sdk import UNKNOWN, WITHHELD, InvalidError, Object, ProviderError, ResourceContext, ResourceType, fault

if TYPE_CHECKING:
    from dstream_pulumi.client import Client
    from dstream_pulumi.plugin_instance import PluginInstance

_NO_DIFFERENCE = 1
"""`DiffResponse.changes`: unknown 0, none 1, some 2."""
_REPLACING = frozenset({1, 3, 5})
"""`PropertyDiff.Kind`: add, delete and update with replacement."""


class PluginType(ResourceType[Any]):
    """One resource type of a plugin."""

    def __init__(self, about: ResourceTypeSpec, running: PluginInstance) -> None:
        """Take the type, and the plugin, which is started on first use."""
        self._about, self._instance = about, running
        self._members = about.members

    # -- the protocol ----------------------------------------------------------------------------

    def plan(
        self, ctx: ResourceContext[Any], prior: Object | None, desired: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Sequence[str]]:
        """Return the planned attributes, and the ones that force replacement."""
        client = self._client()
        properties = self._properties(desired)
        if prior is None:
            return self._new(ctx, client, properties), ()
        old_inputs, old_outputs = self._recorded(prior, desired)
        given = self._check(ctx, client, properties, old_inputs)
        checked = given.values
        if (prior.private or {}).get("guessed"):
            old_inputs, old_outputs = configured_only(old_inputs, old_outputs, checked)
        changed, replaces = self._diff(ctx, client, prior, (old_inputs, old_outputs), checked)
        if replaces:
            names = [self._name(name) for name in sorted(replaces)]
            return show_replaced(self._new(ctx, client, properties), prior.attributes, names)
        return self._same(prior, desired, checked, changed) | dict.fromkeys(given.withheld, UNKNOWN), ()

    def create(self, ctx: ResourceContext[Any], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Create the object."""
        client = self._client()
        given = self._inputs(ctx, client, desired, {})
        left = seconds_left(ctx)
        fault("before_create")
        answer = client.call(
            "Create",
            client.messages.CreateRequest(
                properties=self._struct(given.values, given.hidden), timeout=left or 0, **self._named(ctx)
            ),
            self._what("Create", ctx),
            timeout=left,
            cancelled=lambda: ctx.cancelled,
            partial=lambda problem: self._partial(problem, given, None, ""),
        )
        fault("after_create")
        return self._object(answer.id, given, from_struct(answer.properties), None)

    def update(self, ctx: ResourceContext[Any], prior: Object, desired: Mapping[str, Any]) -> Object:
        """Change the object."""
        client = self._client()
        old_inputs, old_outputs = self._recorded(prior, desired)
        given = self._inputs(ctx, client, desired, old_inputs)
        id_ = self._id(prior.identity)
        left = seconds_left(ctx)
        answer = client.call(
            "Update",
            client.messages.UpdateRequest(
                id=id_,
                olds=self._struct(old_outputs, given.hidden),
                old_inputs=self._struct(old_inputs, given.hidden),
                news=self._struct(given.values, given.hidden),
                timeout=left or 0,
                **self._named(ctx),
            ),
            self._what("Update", ctx),
            timeout=left,
            cancelled=lambda: ctx.cancelled,
            partial=lambda problem: self._partial(problem, given, prior, id_),
        )
        fault("after_update")
        return self._object(id_, given, from_struct(answer.properties), prior)

    def delete(self, ctx: ResourceContext[Any], prior: Object) -> None:
        """Delete the object."""
        client = self._client()
        old_inputs, old_outputs = self._recorded(prior, {})
        left = seconds_left(ctx)
        client.call(
            "Delete",
            client.messages.DeleteRequest(
                id=self._id(prior.identity),
                properties=to_struct(old_outputs),
                old_inputs=to_struct(old_inputs),
                timeout=left or 0,
                **self._named(ctx),
            ),
            self._what("Delete", ctx),
            timeout=left,
            cancelled=lambda: ctx.cancelled,
        )
        fault("after_delete")

    def read(self, ctx: ResourceContext[Any], identity: Mapping[str, Any], prior: Object | None) -> Object | None:
        """Return the real object, or None if it does not exist."""
        client = self._client()
        old_inputs, old_outputs = self._recorded(prior, {}) if prior is not None else ({}, {})
        answer = client.read(
            client.messages.ReadRequest(
                id=self._id(identity),
                properties=to_struct(old_outputs),
                inputs=to_struct(old_inputs),
                **self._named(ctx),
            ),
            self._what("Read", ctx),
            timeout=ctx.remaining(),
            cancelled=lambda: ctx.cancelled,
        )
        if answer is None:
            if prior is None:
                raise InvalidError("Cannot be read", f"The plugin does not support reading {self._about.type}.")
            return prior
        if not answer.id:
            return None
        inputs, outputs = from_struct(answer.inputs) or old_inputs, from_struct(answer.properties)
        if not inputs:
            # The plugin does not return the inputs: use the outputs that are also inputs.
            inputs = {name: value for name, value in outputs.items() if name in self._about.inputs}
        before: Mapping[str, Any] = (prior.private if prior is not None else None) or {}
        guessed = not before.get("inputs") or bool(before.get("guessed"))
        given = Inputs(inputs, withheld=frozenset(before.get("withheld", ())), guessed=guessed)
        if prior is None and not outputs and not inputs:
            raise InvalidError(
                "Import not supported",
                f"The plugin returned only the id of {self._about.type} {answer.id}: it does not support reading this "
                "type. Remove the import, and apply creates the object.",
            )
        found = self._object(answer.id, given, outputs, prior)
        if prior is None:
            return found
        attributes = self._without_volatile(found.attributes, prior.attributes)
        note = dict(found.private or {})
        for part, sent, real in (("inputs", old_inputs, inputs), ("outputs", old_outputs, outputs)):
            real = unwrap_secrets(real)[0]
            keep_unchanged(note, before, part, sent, real)
            attributes |= {
                member.name: prior.attributes[member.name]
                for name, member in self._members.items()
                if real.get(name) == sent.get(name) and has_withheld(prior.attributes.get(member.name))
            }
        return replace(found, attributes=attributes, private=note)

    def _without_volatile(self, now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes, with the previous values of volatile outputs."""
        given = {member.name for member in self._about.inputs.values()}
        keep = {name for name in now if name in before and name not in given and is_volatile(name)}
        return {name: before[name] if name in keep else value for name, value in now.items()}

    # -- planning --------------------------------------------------------------------------------

    def _new(self, ctx: ResourceContext[Any], client: Client, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return the planned attributes of a new object."""
        given = self._check(ctx, client, properties, {})
        checked = given.values
        attributes = to_attributes(self._about.inputs, checked) | dict.fromkeys(given.withheld, UNKNOWN)
        outputs: dict[str, Any] = {}
        if self._instance.capabilities.preview:
            answer = client.call(
                "Create",
                client.messages.CreateRequest(properties=to_struct(checked), preview=True, **self._named(ctx)),
                self._what("Preview", ctx),
                timeout=ctx.remaining(),
                cancelled=lambda: ctx.cancelled,
            )
            previewed, secrets = unwrap_secrets(from_struct(answer.properties))
            outputs = to_attributes(self._about.outputs, previewed) | dict.fromkeys(
                self._unguarded(ctx, secrets), UNKNOWN
            )
        for member in self._about.outputs.values():
            if member.name not in attributes:
                value = outputs.get(member.name)
                attributes[member.name] = UNKNOWN if value is None or has_unknown(value) else value
        planned = self._about.planned_id(known(checked), self._instance.settings)
        attributes["id"] = UNKNOWN if planned is None else planned
        return attributes

    def _same(
        self, prior: Object, desired: Mapping[str, Any], checked: Mapping[str, Any], changed: frozenset[str]
    ) -> dict[str, Any]:
        """Return the planned attributes of an object that is kept, with the properties `changed` as configured."""
        found = to_attributes(self._about.inputs, checked)
        kept = {self._name(name) for name in checked if name not in changed}
        for name in kept:
            before = prior.attributes.get(name, WITHHELD)
            if before is not WITHHELD and before is not None:
                found[name] = before
            elif name in desired:
                found[name] = desired[name]
        gone = {self._name(name) for name in changed}
        unchanged = (value for name, value in checked.items() if name not in changed)
        stays = stable_outputs(self._about.read_only, prior, unchanged)
        for name in prior.attributes:
            if name not in found and name not in gone:
                # An unknown namespace name would replace its queues. An input that is not set is not sent to Update.
                found[name] = stays.get(name, UNKNOWN)
        if "id" in prior.attributes:
            found["id"] = prior.attributes["id"]
        return found

    def _check(
        self, ctx: ResourceContext[Any], client: Client, properties: Mapping[str, Any], olds: Mapping[str, Any]
    ) -> Inputs:
        """Return the checked inputs, with the plugin's defaults."""
        from dstream_pulumi.client import refuse

        answer = client.call(
            "Check",
            client.messages.CheckRequest(
                olds=to_struct(olds), news=to_struct(properties), randomSeed=random.token_bytes(32), **self._named(ctx)
            ),
            self._what("Check", ctx),
            timeout=ctx.remaining(),
            cancelled=lambda: ctx.cancelled,
        )
        refuse(answer.failures, "attributes")
        plain, paths = unwrap_secrets(from_struct(answer.inputs))
        return Inputs(plain, frozenset(texts_at(plain, paths)), self._unguarded(ctx, paths))

    def _unguarded(self, ctx: ResourceContext[Any], secrets: Sequence[Path]) -> frozenset[str]:
        """Return the attributes with secrets that the host does not treat as sensitive."""
        guarded = {str(path[0]) for path in ctx.sensitive} | {m.name for m in self._members.values() if m.secret}
        return frozenset({self._name(str(path[0])) for path in secrets} - guarded)

    def _diff(
        self,
        ctx: ResourceContext[Any],
        client: Client,
        prior: Object,
        olds: tuple[Mapping[str, Any], Mapping[str, Any]],
        checked: Mapping[str, Any],
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Return the top-level properties that change, and the ones that force replacement."""
        answer = client.call(
            "Diff",
            client.messages.DiffRequest(
                id=self._id(prior.identity),
                olds=to_struct(olds[1]),
                old_inputs=to_struct(olds[0]),
                news=to_struct(checked),
                **self._named(ctx),
            ),
            self._what("Diff", ctx),
            timeout=ctx.remaining(),
            cancelled=lambda: ctx.cancelled,
        )
        differ = {name for name in {*olds[0], *checked} if olds[0].get(name) != checked.get(name)}
        if answer.changes == _NO_DIFFERENCE:
            return frozenset(), frozenset()
        detailed = {(first_step(path), each.kind) for path, each in answer.detailedDiff.items()}
        changed = (
            {first_step(path) for path in answer.diffs}
            | {name for name, _ in detailed}
            | {first_step(path) for path in answer.replaces}
        )
        replaces = {first_step(path) for path in answer.replaces}
        replaces |= {name for name, kind in detailed if kind in _REPLACING}
        changed = changed or differ
        replaces |= {first_step(path) for path in {*changed, *answer.detailedDiff} if self._about.forces(path)}
        return frozenset(changed), frozenset(replaces)

    # -- values ----------------------------------------------------------------------------------

    def _properties(self, desired: Mapping[str, Any]) -> dict[str, Any]:
        return to_properties(self._about.inputs, desired)

    def _inputs(
        self, ctx: ResourceContext[Any], client: Client, desired: Mapping[str, Any], olds: Mapping[str, Any]
    ) -> Inputs:
        """Return the checked inputs of a change."""
        secret = [member.name for member in self._members.values() if member.secret]
        hidden = {*texts_at(desired, ctx.sensitive), *texts_at(desired, [(name,) for name in secret])}
        found = self._check(ctx, client, self._properties(desired), olds)
        guarded = tuple(str(path[0]) for path in ctx.sensitive)
        return Inputs(found.values, found.hidden | hidden, found.withheld, guarded)

    def _struct(self, values: Mapping[str, Any], hidden: frozenset[str]) -> Any:
        return to_struct(mark_secrets(values, hidden) if self._instance.capabilities.secrets and hidden else values)

    def _recorded(self, prior: Object, desired: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the last inputs and outputs, with the available secrets."""
        inputs, outputs = read_private_state(prior.private, [desired, prior.attributes, self._instance.settings])
        if not outputs:
            outputs = to_properties(self._members, prior.attributes)
        # An empty string in place of a secret that is not in the state: the plugin requires the property.
        texts = (name for name in self._about.always if self._kind(name) == "string")
        return inputs, dict.fromkeys(texts, "") | outputs

    def _object(self, id_: str, given: Inputs, outputs: dict[str, Any], prior: Object | None) -> Object:
        plain, marked = unwrap_secrets(outputs)
        configured = to_attributes(self._about.inputs, unwrap_secrets(given.values)[0])
        real = to_attributes(self._members, plain)
        attributes = {**configured, **{name: value for name, value in real.items() if value is not None}, "id": id_}
        shown = {member.name for member in self._members.values() if not member.secret}
        for path in marked:
            name = self._name(str(path[0]))
            # Not secret in the schema, so the host does not redact it: return it only if it was configured.
            if name in shown and name in attributes and name not in configured:
                attributes[name] = WITHHELD
        secret = {*given.guarded, *given.withheld, *(m.name for m in self._members.values() if m.secret)}
        hidden = given.hidden | set(texts_at(attributes, [(name,) for name in secret]))
        attributes = {
            name: WITHHELD if name in given.withheld or has_unknown(value) else value
            for name, value in attributes.items()
        }
        note = make_private_state(
            given.values,
            outputs,
            hidden,
            prior.private if prior is not None else None,
            [name for name, member in self._members.items() if member.name in secret or (hidden and self._free(name))],
            everything=given.guessed,
        )
        if given.withheld:
            note["withheld"] = sorted(given.withheld)
        if given.guessed:
            note["guessed"] = True
        return Object({"id": id_}, attributes, note)

    def _free(self, name: str) -> bool:
        """Return whether a property is free text of the plugin, which may contain secrets from its inputs."""
        return name not in self._about.inputs and self._kind(name) == "string" and not is_volatile(self._name(name))

    def _kind(self, name: str) -> str:
        member = self._members.get(name)
        return "any" if member is None else member.shape.kind

    def _partial(self, problem: Any, given: Inputs, prior: Object | None, id_: str) -> ProviderError | None:
        from dstream_pulumi.plugin_errors import partial_state

        found = partial_state(problem)
        if found is None:
            return None
        real = replace(given, values=from_struct(found.inputs) or given.values)
        made = self._object(found.id or id_, real, from_struct(found.properties), prior)
        detail = "; ".join(found.reasons) or problem.details() or "the plugin gave no reason"
        return ProviderError("Object exists, but did not become ready", detail, object=made)

    # -- names -----------------------------------------------------------------------------------

    def _client(self) -> Client:
        return self._instance.client()

    def _named(self, ctx: ResourceContext[Any]) -> dict[str, Any]:
        name = logical_name(self._about.type, ctx.key)
        return {"urn": self._instance.urn(self._about.token, name), "name": name, "type": self._about.token}

    def _what(self, method: str, ctx: ResourceContext[Any]) -> str:
        return f"{method} of {ctx.key or self._about.type}"

    def _name(self, property_: str) -> str:
        member = self._members.get(property_)
        return member.name if member is not None else property_

    @staticmethod
    def _id(identity: Mapping[str, Any]) -> str:
        return str(identity.get("id") or "")
