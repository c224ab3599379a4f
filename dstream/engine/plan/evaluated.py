"""First stage: the desired objects of one block, evaluated with the planned values of the blocks before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.addresses import Key, ResourceAddress
from dstream.config import Lifecycle, ResourceBlock
from dstream.diagnostics import DiagnosticsError, has_errors
from dstream.engine.evaluate.coercion import converted_arguments
from dstream.engine.evaluate.conditions import check_triggers, require_conditions
from dstream.engine.evaluate.desired import AttributeValues, DesiredObject, split_sensitive
from dstream.engine.evaluate.errors import secret_not_kept
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.evaluate.redaction import has_withheld
from dstream.engine.evaluate.schema_validation import check_resource
from dstream.engine.evaluate.timeouts import timeouts_of
from dstream.engine.plan.context import PlanContext
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.task_instance import TaskInstance
from dstream.engine.providers.task_requirements import RequiredObjects
from dstream.engine.providers.type_rules import NO_RULES, ResourceTypeRules
from dstream.engine.setup.block_graph import provider_of
from dstream.lang import Scope, evaluate_body
from dstream.plugins import ResourceSchema
from dstream_state import V1_LIFECYCLE


class ObjectGroup(Struct, frozen=True):
    """Desired objects of one type, served by one provider."""

    spec: ProviderSpec
    rules: ResourceTypeRules
    objects: tuple[DesiredObject, ...]


class EvaluatedBlock(Struct, frozen=True):
    """The desired objects of a `resource` block, or of one instance of a task."""

    lifecycle: Lifecycle
    groups: tuple[ObjectGroup, ...]
    values: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """The evaluated attributes of declared objects by address, as a saved plan records them."""


def evaluate_resource(context: PlanContext, block: ResourceBlock) -> EvaluatedBlock:
    """Evaluate the selected instances of a `resource` block; raise DiagnosticsError if they are invalid."""
    spec = context.prefetch.specs[f"provider.{provider_of(block)}"]
    context.schemas.check_settings(spec)
    rules = context.schemas.required_rules(spec, block.type, block.range)
    names = InstanceNames(block.for_each, block.count)
    for bound in islice(names.of(context.scope).values(), 1):
        check_triggers(block, context.scope.bind(bound))
    found = [_declared(context, block, key, names, spec, rules) for key in names.of(context.scope)]
    values = {desired.address: desired.attributes for desired in found}
    if not context.selection.complete(f"{block.type}.{block.name}"):
        found = [desired for desired in found if context.selection.has(desired.address)]
    _check_attributes(block, found, context.pool.installed(spec).info.resources[block.type])
    return EvaluatedBlock(block.lifecycle, (ObjectGroup(spec, rules, tuple(found)),), values)


def _declared(
    context: PlanContext,
    block: ResourceBlock,
    key: Key,
    names: InstanceNames,
    spec: ProviderSpec,
    rules: ResourceTypeRules,
) -> DesiredObject:
    address = str(ResourceAddress(block.type, block.name, key))
    planned = names.of(context.scope)[key]
    saved = context.saved

    def bound(scope: Scope) -> Scope:
        return scope.bind(names.of(scope).get(key, planned))

    def evaluate_in(scope: Scope) -> AttributeValues:
        given = converted_arguments(rules.schema, evaluate_body(block.body, bound(scope)))
        attributes, paths = split_sensitive(given)
        if paths and has_withheld(attributes):
            raise DiagnosticsError(secret_not_kept(block.range, address))
        return (attributes if saved is None else saved.value(address, attributes)), paths

    require_conditions(block.lifecycle.preconditions, bound(context.scope), "Precondition not met", address)
    attributes, paths = evaluate_in(context.scope)
    return DesiredObject(
        address=address,
        block=f"{block.type}.{block.name}",
        provider=spec.name,
        type=block.type,
        key=address,
        attributes=attributes,
        sensitive=paths | rules.sensitive_paths,
        dependencies=context.dependencies.of(f"{block.type}.{block.name}"),
        lifecycle=block.lifecycle,
        range=block.range,
        instance=key,
        evaluate=evaluate_in,
        bind_instance=bound,
        timeouts=timeouts_of(block.timeouts, bound(context.scope)),
    )


def _check_attributes(block: ResourceBlock, found: Iterable[DesiredObject], schema: ResourceSchema) -> None:
    """Raise DiagnosticsError for the first instance whose attributes its type does not accept."""
    for desired in found:
        problems = check_resource(schema, desired.attributes, desired.sensitive, block)
        if has_errors(problems):
            raise DiagnosticsError(problems)


def evaluate_task(
    context: PlanContext, task: TaskInstance, required: RequiredObjects, names: InstanceNames
) -> EvaluatedBlock:
    """Return the selected objects that a task requires, with the lifecycle and timeouts of its block.

    `names` are those of all instances of the block.
    """
    key = task.address.key

    def bound(scope: Scope) -> Scope:
        return scope.bind(names.of(scope)[key])

    timeouts = timeouts_of(task.block.timeouts, bound(context.scope))
    chosen = context.selection.chosen({each.address: each.dependencies for each in required.objects})
    grouped: dict[tuple[str, str], list[DesiredObject]] = {}
    for each in required.objects:
        if each.address in chosen:
            desired = replace(each, bind_instance=bound, timeouts=timeouts.over(each.timeouts))
            grouped.setdefault((desired.provider, desired.type), []).append(desired)
    specs = {side.spec.name: side.spec for side in task.sides}
    groups = [
        ObjectGroup(specs[name], _required_rules(context, specs[name], type_), tuple(found))
        for (name, type_), found in grouped.items()
    ]
    return EvaluatedBlock(task.block.lifecycle, tuple(groups))


def _required_rules(context: PlanContext, spec: ProviderSpec, type_: str) -> ResourceTypeRules:
    return NO_RULES if type_ == V1_LIFECYCLE else context.schemas.required_rules(spec, type_, spec.range)
