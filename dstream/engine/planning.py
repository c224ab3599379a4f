"""Planning: configuration + recorded state + reality -> plan, in one pass over the blocks in order of need.

Everything that can wait for a process is started first: providers are found and probed together, recorded objects
are asked about and tasks are asked for their objects while the pass goes on. Problems of different blocks are
collected; a block that needs a broken one is left out, so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dstream_state import ObjectState, Snapshot

from dstream.addresses import DerivedAddress, Key, ResourceAddress, TaskAddress, parse_address
from dstream.config import Lifecycle, OutputBlock, ResourceBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, error, has_errors
from dstream.engine.blocks import object_blocks, provider_of
from dstream.engine.expansion import instances
from dstream.engine.exports import Exports, exported
from dstream.engine.operation import Operation
from dstream.engine.providers import ProviderPool, ProviderSpec, make_spec, revive
from dstream.engine.refresh import Reality, Refresh
from dstream.engine.rules import NO_RULES, Rules, rules_of
from dstream.engine.secrets import Path, redact, reveal, told
from dstream.engine.tasks import Derivations, TaskInstance, stream_names, task_instance
from dstream.engine.wanted import Evaluated, Wanted, evaluated
from dstream.lang import Scope, evaluate, evaluate_body, sensitive_paths, strip_sensitive
from dstream.plan import (
    Action,
    Change,
    Drift,
    DriftKind,
    OutputChange,
    Plan,
    Reason,
    TaskNote,
    Wishes,
    changed_names,
    contains_unknown,
    decide,
)

DEPOSED = "#deposed"
"""What follows the address of an object that was replaced and is still to be destroyed."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user asks of a plan beside the configuration."""

    destroy: bool = False
    refresh: bool = True
    targets: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()


@dataclass(slots=True)
class Prepared:
    """A plan, and what apply needs to carry it out; `wanted` holds secrets and never leaves the process."""

    plan: Plan
    snapshot: Snapshot
    wanted: dict[str, Wanted] = field(default_factory=dict)
    specs: dict[str, ProviderSpec] = field(default_factory=dict)
    tasks: dict[str, TaskInstance] = field(default_factory=dict)
    realities: dict[str, Reality] = field(default_factory=dict)
    exports: Exports = field(default_factory=Exports)
    block_needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    spec_blocks: dict[str, str] = field(default_factory=dict)
    """For each provider spec that has to be evaluated again at apply, its block."""


def make_plan(
    operation: Operation, snapshot: Snapshot, pool: ProviderPool, options: PlanOptions, *, pending: int = 0
) -> Prepared:
    """Return the plan that takes reality to the configuration; raise DiagnosticsError with all that is wrong."""
    planner = _Planner(operation, snapshot, pool, options)
    return planner.run(pending)


class _Planner:
    def __init__(self, operation: Operation, snapshot: Snapshot, pool: ProviderPool, options: PlanOptions) -> None:
        self.operation = operation
        self.config = operation.config
        self.snapshot = snapshot
        self.pool = pool
        self.options = options
        self.graph = operation.graph
        self.exports = Exports()
        self.scope: Scope = operation.module.scope(resources=self.exports)
        self.refresh = Refresh(pool)
        self.derivations = Derivations(pool, lambda task: self.needs(str(task.address.block)))
        self.specs: dict[str, ProviderSpec] = {}
        self.tasks: dict[str, TaskInstance] = {}
        self.wanted: dict[str, Wanted] = {}
        self.changes: dict[str, Change] = {}
        self.notes: list[TaskNote] = []
        self.outputs: list[OutputChange] = []
        self.problems: list[Diagnostic] = []
        self.broken: set[str] = set()
        self.kept_tasks: set[str] = set()
        self.asked: set[str] = set()
        self.unreachable: dict[str, list[Diagnostic]] = {}
        self.selected = self._selection()
        self._needs: dict[str, tuple[str, ...]] = {}

    # -- the pass ----------------------------------------------------------------------------------

    def run(self, pending: int) -> Prepared:
        order = self.graph.in_order()
        self._start_early(order)
        for name in order:
            if self._included(name):
                self._visit(name)
        self._leftovers()
        if not self.options.destroy:
            self._output_leftovers()
        drifts = self._drifts()
        if has_errors(self.problems):
            raise DiagnosticsError(self.problems)
        plan = Plan(
            changes=tuple(self.changes[address] for address in sorted(self.changes)),
            drifts=tuple(drifts),
            outputs=tuple(self.outputs),
            tasks=tuple(self.notes),
            diagnostics=tuple(self.problems),
            destroy=self.options.destroy,
            lineage=self.snapshot.lineage if self.snapshot.serial else None,
            serial=self.snapshot.serial,
            pending=pending,
        )
        realities = {address: self.refresh.reality(address) for address in self.asked}
        return Prepared(
            plan, self.snapshot, self.wanted, self.specs, self.tasks, realities, self.exports,
            {name: self.needs(name) for name in self.graph}, dict(self._spec_blocks()),
        )

    def needs(self, block: str) -> tuple[str, ...]:
        """The resource blocks and tasks that a block needs, through locals and providers too."""
        found = self._needs.get(block)
        if found is None:
            found = tuple(object_blocks(self.graph, self.graph.needs(block)))
            self._needs[block] = found
        return found

    def _selection(self) -> set[str] | None:
        if not self.options.targets:
            return None
        names = []
        for target in self.options.targets:
            address = parse_target(target)
            name = block_of(address)
            recorded = any(block_of_text(text) == name for text in self.snapshot.resources)
            if name not in self.graph and not recorded and name not in self.snapshot.tasks:
                raise DiagnosticsError(unknown_target(target, list(self.graph)))
            names.append(name)
        if self.options.destroy:
            found = set(names) | self.graph.dependents(name for name in names if name in self.graph)
        else:
            found = set(names) | self.graph.closure(name for name in names if name in self.graph)
        return found

    def _included(self, name: str) -> bool:
        return self.selected is None or name in self.selected

    # -- what can start at once ---------------------------------------------------------------------

    def _start_early(self, order: Iterable[str]) -> None:
        """Find all providers whose configuration needs no resource, ask about recorded objects, derive tasks."""
        ready: list[str] = []
        for name in order:
            kind, _, rest = name.partition(".")
            if not self._included(name) or object_blocks(self.graph, self.graph.needs(name)):
                continue
            if kind == "provider":
                self._guard(name, self._provider, rest)
            elif kind == "task":
                self._guard(name, self._task_sides, rest)
            else:
                continue
            ready.append(name)
        for (type_, name), block in self.config.resources.items():
            wanted = provider_of(block)
            if self._included(f"{type_}.{name}") and wanted not in self.config.providers:
                self._default_provider(wanted, block)
        self._recorded_specs()
        try:
            self.pool.prepare(self.specs.values())
        except DiagnosticsError as problem:
            self.problems.extend(problem.diagnostics)
            raise DiagnosticsError(self.problems) from None
        if not self.options.destroy:
            for task in self.tasks.values():
                if not any(side.spec.unknown for side in task.sides):
                    self.derivations.start(task)
        self._ask(spec for spec in self.specs.values() if not spec.unknown)

    def _guard(self, name: str, step: Callable[[str], None], argument: str) -> None:
        """Run a step of a block; collect its problems, and leave out what needs a broken block."""
        if any(needed in self.broken for needed in self.graph.needs(name)):
            self.broken.add(name)
            return
        try:
            step(argument)
        except DiagnosticsError as problem:
            self.broken.add(name)
            self.problems.extend(problem.diagnostics)

    def _provider(self, name: str) -> None:
        block = self.config.providers[name]
        spec = make_spec(
            f"provider.{name}", block.launch, block.config, "resource", self.scope, self.config, default=name
        )
        self.specs[spec.name] = spec

    def _default_provider(self, name: str, block: ResourceBlock) -> None:
        from dstream.plugins import ProviderSource

        spec = f"provider.{name}"
        if spec not in self.specs:
            self.specs[spec] = ProviderSpec(spec, ProviderSource("name", name), "resource", range=block.range)

    def _task_sides(self, name: str) -> None:
        block = self.config.tasks[name]
        for key, names in instances(block.for_each, block.count, self.scope):
            task = task_instance(block, key, self.scope.bind(names), self.config)
            self.tasks[str(task.address)] = task
            for side in task.sides:
                self.specs[side.spec.name] = side.spec

    def _recorded_specs(self) -> None:
        """Add the providers of recorded objects whose block is gone."""
        for address, item in self.snapshot.resources.items():
            name = item.provider
            if name in self.specs or not self._object_included(address):
                continue
            block = spec_block(name)
            if block in self.graph and block not in self.broken and self._included(block) and (
                object_blocks(self.graph, self.graph.needs(block))
            ):
                continue  # its configuration is evaluated later, when what it needs was planned
            recorded = self.snapshot.providers.get(name)
            if recorded is None:
                continue
            try:
                self.specs[name] = revive(name, recorded, self.scope)
            except DiagnosticsError as problem:
                self.problems.extend(problem.diagnostics)

    def _spec_blocks(self) -> Iterable[tuple[str, str]]:
        return ((name, spec_block(name)) for name, spec in self.specs.items() if spec.unknown)

    def _object_included(self, address: str) -> bool:
        return self.selected is None or block_of_text(address) in self.selected

    def _ask(self, specs: Iterable[ProviderSpec]) -> None:
        """Ask each provider about the objects that the state has of it."""
        if not self.options.refresh:
            return
        by_spec: dict[str, dict[str, ObjectState]] = {}
        for address, item in self.snapshot.resources.items():
            if item.status in ("ok", "tainted") and address not in self.asked and self._object_included(address):
                by_spec.setdefault(item.provider, {})[address] = item
        for spec in specs:
            objects = by_spec.get(spec.name)
            if objects:
                self.asked.update(objects)
                self.refresh.ask(spec, objects, {a: told(o.attributes, None, (), self.key) for a, o in objects.items()})

    @property
    def key(self) -> bytes:
        return self.snapshot.hmac_key

    # -- blocks -------------------------------------------------------------------------------------

    def _visit(self, name: str) -> None:
        kind, _, rest = name.partition(".")
        match kind:
            case "var" | "local":
                self._guard(name, self._value, name)
            case "provider":
                if f"provider.{rest}" not in self.specs and name not in self.broken:
                    self._guard(name, self._late_provider, rest)
            case "task":
                self._guard(name, self._task, rest)
            case "output":
                if not self.options.destroy:
                    self._guard(name, self._output, rest)
            case _:
                self._guard(name, self._resource, name)
                if name in self.broken:
                    self.exports.unknown(kind, rest)

    def _value(self, name: str) -> None:
        kind, _, rest = name.partition(".")
        self.scope.lookup(kind).get(rest)

    def _late_provider(self, name: str) -> None:
        self._provider(name)
        spec = self.specs[f"provider.{name}"]
        self.pool.prepare([spec])
        if not spec.unknown:
            self._ask([spec])

    def _resource(self, name: str) -> None:
        type_, _, label = name.partition(".")
        block = self.config.resources[type_, label]
        spec = self.specs[f"provider.{provider_of(block)}"]
        self.exports.declare(type_, label, keyed=block.for_each is not None, counted=block.count is not None)
        if self.options.destroy:
            self._export_recorded(block)
            return
        rules = self._rules(spec, type_, block)
        found = [
            self._declared(block, key, names, spec, rules)
            for key, names in instances(block.for_each, block.count, self.scope)
        ]
        self._check_absent(spec, found, rules)
        triggered = self._triggered(block.lifecycle)
        for wanted in found:
            change = self._change(wanted, spec, rules, triggered)
            self._export(wanted, change)

    def _declared(
        self, block: ResourceBlock, key: Key, names: dict[str, Any], spec: ProviderSpec, rules: Rules
    ) -> Wanted:
        address = str(ResourceAddress(block.type, block.name, key))

        def evaluate_in(scope: Scope) -> Evaluated:
            return evaluated(evaluate_body(block.body, scope.bind(names)))

        attributes, paths = evaluate_in(self.scope)
        return Wanted(
            address=address,
            block=f"{block.type}.{block.name}",
            provider=spec.name,
            type=block.type,
            key=address,
            attributes=attributes,
            sensitive=paths | rules.sensitive_paths,
            dependencies=self.needs(f"{block.type}.{block.name}"),
            lifecycle=block.lifecycle,
            instance=key,
            evaluate=evaluate_in,
        )

    def _rules(self, spec: ProviderSpec, type_: str, block: ResourceBlock | None) -> Rules:
        found = self.pool.installed(spec)
        rules = rules_of(found.info, type_)
        if rules is None:
            known = ", ".join(sorted(found.info.resources)) or "none"
            raise DiagnosticsError(
                error(
                    "Unknown resource type",
                    f"The provider {found.info.name} has no type {type_}. It has: {known}.",
                    block.range if block is not None else spec.range,
                )
            )
        return rules

    def _task(self, name: str) -> None:
        block_name = f"task.{name}"
        if not any(task.address.name == name for task in self.tasks.values()):
            self._task_sides(name)
            own = [task for task in self.tasks.values() if task.address.name == name]
            specs = [side.spec for task in own for side in task.sides]
            self.pool.prepare(specs)
            self._ask(spec for spec in specs if not spec.unknown)
        if self.options.destroy:
            return
        for task in self.tasks.values():
            if task.address.name == name:
                self.derivations.finish(task)
                self._derived(task, block_name)

    def _derived(self, task: TaskInstance, block_name: str) -> None:
        address = str(task.address)
        if task.problems:
            self.problems.extend(task.problems)
            self.broken.add(block_name)
            self.kept_tasks.add(address)
            return
        specs = {side.spec.name: side.spec for side in task.sides}
        if task.deferred or any(wanted.unknown for wanted in task.wanted if wanted.type != "lifecycle"):
            waits = ", ".join(task.deferred) or "attributes that are known after apply"
            self.kept_tasks.add(address)
            self.changes[address] = Change(
                address, Action.DEFERRED, task.input.spec.name, "task", detail=f"waits for {waits}", reason=Reason.NEEDS_UNKNOWN
            )
            return
        by_spec: dict[tuple[str, str], list[Wanted]] = {}
        for wanted in task.wanted:
            by_spec.setdefault((wanted.provider, wanted.type), []).append(wanted)
        for (spec_name, type_), found in by_spec.items():
            spec = specs[spec_name]
            rules = NO_RULES if type_ == "lifecycle" else self._rules(spec, type_, None)
            self._check_absent(spec, found, rules)
            for wanted in found:
                self._change(wanted, spec, rules, Reason.NONE)
        self._note(task)

    def _note(self, task: TaskInstance) -> None:
        address = str(task.address)
        notes = []
        if len(task.outputs) > 1:
            notes.append(f"the source is read {len(task.outputs)} times, once for each output")
        versions = [self.pool.installed(side.spec).info.protocol for side in task.sides]
        if min(versions) < 2:
            notes.append("delivery not confirmed: a provider speaks version 1 of the protocol")
        recorded = self.snapshot.tasks.get(address)
        unknown = any(side.spec.unknown for side in task.sides)
        applied = not unknown and recorded is not None and recorded.fingerprint == task.fingerprint(self.pool, self.key)
        self.notes.append(TaskNote(address, applied, stream_names(task.streams), tuple(notes)))

    # -- one object ---------------------------------------------------------------------------------

    def _recorded(self, wanted: Wanted) -> ObjectState | None:
        return self.snapshot.resources.get(wanted.address)

    def _check_absent(self, spec: ProviderSpec, found: Collection[Wanted], rules: Rules) -> None:
        """Ask about new objects whose identity is known before they exist: nobody else's object is adopted."""
        if not self.options.refresh or spec.unknown or not rules.identity_attributes:
            return
        fresh: dict[str, ObjectState] = {}
        for wanted in found:
            if self._recorded(wanted) is None:
                identity = planned_identity(wanted.attributes, rules)
                if identity is not None:
                    fresh[wanted.address] = ObjectState(spec.name, wanted.type, wanted.key, identity)
        if fresh:
            self.asked.update(fresh)
            self.refresh.ask(spec, fresh, dict.fromkeys(fresh))

    def _change(self, wanted: Wanted, spec: ProviderSpec, rules: Rules, triggered: Reason) -> Change:
        self.wanted[wanted.address] = wanted
        change = self._decided(wanted, rules, triggered)
        if change.action.destroys and wanted.lifecycle.prevent_destroy:
            self.problems.append(_prevented(change, wanted.lifecycle))
        self.changes[wanted.address] = change
        return change

    def _decided(self, wanted: Wanted, rules: Rules, triggered: Reason) -> Change:
        recorded = self._recorded(wanted)
        reality = self.refresh.reality(wanted.address)
        if recorded is None and reality.exists:
            self.problems.append(_exists(wanted))
        if reality.asked and reality.exists is None:
            self.unreachable[wanted.address] = list(reality.diagnostics)
            self.problems.extend(_unreachable(wanted.address, reality))
        if recorded is not None and recorded.status in ("unresolved", "pending"):
            self.problems.append(_unresolved(wanted.address))
        prior = self._prior(recorded, reality, wanted.sensitive)
        desired = redact(wanted.attributes, wanted.sensitive, self.key)
        lifecycle = wanted.lifecycle
        reason = triggered
        if wanted.address in self.options.replace:
            reason = Reason.REQUESTED
        if recorded is not None and recorded.status == "tainted":
            reason = Reason.TAINTED
        ignored = ("*",) if lifecycle.ignore_changes == "all" else tuple(lifecycle.ignore_changes)
        wishes = Wishes(ignored, lifecycle.create_before_destroy, reason if prior is not None else Reason.NONE)
        decision = decide(prior, desired, rules, wishes)
        missing = recorded is not None and prior is None
        return Change(
            address=wanted.address,
            action=decision.action,
            provider=wanted.provider,
            type=wanted.type,
            key=wanted.key,
            before=prior,
            after=decision.after,
            replace_paths=decision.replace_paths,
            reason=Reason.MISSING if missing else decision.reason,
            holds_data=rules.holds_data,
            dependencies=wanted.dependencies,
        )

    def _prior(
        self, recorded: ObjectState | None, reality: Reality, sensitive: Collection[Path]
    ) -> Mapping[str, Any] | None:
        """Return the real attributes, redacted; what a provider withholds is as it was recorded."""
        if recorded is None or reality.exists is False:
            return None
        paths = {*sensitive, *recorded.sensitive}
        before = redact(recorded.attributes, paths, self.key)
        if not reality.exists:
            return dict(before)
        return merged(before, redact(reality.attributes or {}, paths, self.key))

    def _export(self, wanted: Wanted, change: Change) -> None:
        reality = self.refresh.reality(wanted.address)
        clear = reveal(change.after, wanted.attributes, reality.attributes)
        address = parse_address(wanted.address)
        if isinstance(address, ResourceAddress):
            value = exported(clear, wanted.sensitive, wanted.address)
            self.exports.set(address.type, address.name, address.key, value)

    def _export_recorded(self, block: ResourceBlock) -> None:
        """Give expressions the recorded attributes, where nothing will be planned (destroy)."""
        for text, item in self.snapshot.resources.items():
            address = parse_target(text)
            if isinstance(address, ResourceAddress) and (address.type, address.name) == (block.type, block.name):
                reality = self.refresh.reality(text)
                clear = reveal(item.attributes, reality.attributes)
                self.exports.set(address.type, address.name, address.key, exported(clear, item.sensitive, text))

    def _triggered(self, lifecycle: Lifecycle) -> Reason:
        for expr in lifecycle.replace_triggered_by:
            from dstream.engine.blocks import block_name
            from dstream.lang import references

            for reference in references(expr):
                name = block_name(reference)
                for change in self.changes.values():
                    if block_of_text(change.address) == name and change.action not in (Action.NO_OP, Action.CREATE):
                        return Reason.TRIGGERED
        return Reason.NONE

    # -- what is left -------------------------------------------------------------------------------

    def _leftovers(self) -> None:
        """Delete what the state has and nothing asks for."""
        for address, item in self.snapshot.resources.items():
            if address in self.changes or not self._object_included(address):
                continue
            block = block_of_text(address)
            if block in self.broken or str(_task_of(address)) in self.kept_tasks:
                continue
            self.changes[address] = self._removal(address, item)
        configured = set() if self.options.destroy else {str(task.address) for task in self.tasks.values()}
        for address in sorted(self.snapshot.tasks):
            if address not in configured and (self.selected is None or block_of_text(address) in self.selected):
                if block_of_text(address) in self.broken:
                    continue
                self.notes.append(TaskNote(address, False, (), ("is removed; its checkpoint is archived",)))

    def _removal(self, address: str, item: ObjectState) -> Change:
        reality = self.refresh.reality(address)
        if reality.asked and reality.exists is None:
            self.unreachable[address] = list(reality.diagnostics)
            self.problems.extend(_unreachable(address, reality))
        prior = self._prior(item, reality, item.sensitive)
        block = block_of_text(address)
        reason = Reason.NOT_WANTED_BY_TASK if block.startswith("task.") and block in self.graph else Reason.NOT_IN_CONFIGURATION
        if self.options.destroy:
            reason = Reason.DESTROY
        detail = ""
        if address.endswith(DEPOSED):
            reason, detail = Reason.NONE, "it was replaced, and the earlier object is still there"
        if item.status == "unresolved":
            self.problems.append(_unresolved(address))
        if prior is None and item.status in ("ok", "tainted"):
            reason = Reason.MISSING
        change = Change(
            address, Action.FORGET if prior is None else Action.DELETE, item.provider, item.type, item.key, before=prior,
            reason=reason, detail=detail, holds_data=item.holds_data, dependencies=item.dependencies,
        )
        lifecycle = self._lifecycle_of(block)
        if change.action.destroys and lifecycle is not None and lifecycle.prevent_destroy:
            self.problems.append(_prevented(change, lifecycle))
        return change

    def _lifecycle_of(self, block: str) -> Lifecycle | None:
        kind, _, rest = block.partition(".")
        if kind == "task":
            task = self.config.tasks.get(rest)
            return task.lifecycle if task is not None else None
        resource = self.config.resources.get((kind, rest))
        return resource.lifecycle if resource is not None else None

    def _output(self, name: str) -> None:
        block = self.config.outputs[name]
        value, sensitive = output_value(block, self.scope)
        before = self.snapshot.outputs.get(name)
        shown = redact(value, [()], self.key) if sensitive else value
        if before is None:
            action = Action.CREATE
        else:
            action = Action.NO_OP if not contains_unknown(shown) and before.value == shown else Action.UPDATE
        self.outputs.append(OutputChange(name, action, before.value if before else None, shown, sensitive))

    def _output_leftovers(self) -> None:
        if self.selected is not None:
            return
        for name, recorded in sorted(self.snapshot.outputs.items()):
            if name not in self.config.outputs:
                self.outputs.append(OutputChange(name, Action.DELETE, recorded.value, None, recorded.sensitive))

    def _drifts(self) -> list[Drift]:
        found = []
        for address in sorted(self.asked):
            recorded = self.snapshot.resources.get(address)
            if recorded is None:
                continue
            drift = drift_of(address, recorded, self.refresh.reality(address), self.key, self._unordered(recorded))
            if drift is not None:
                found.append(drift)
        return found

    def _unordered(self, item: ObjectState) -> Collection[str]:
        spec = self.specs.get(item.provider)
        rules = rules_of(self.pool.installed(spec).info, item.type) if spec is not None else None
        return rules.unordered if rules is not None else ()


def drift_of(
    address: str, recorded: ObjectState, reality: Reality, key: bytes, unordered: Collection[str]
) -> Drift | None:
    """Return how an object differs from what the state records, or None if it does not."""
    if not reality.asked:
        return None
    before = redact(recorded.attributes, recorded.sensitive, key)
    if reality.exists is None:
        detail = "; ".join(f"{d.summary}: {d.detail}" if d.detail else d.summary for d in reality.diagnostics)
        return Drift(address, DriftKind.UNREACHABLE, recorded.type, before, detail=detail)
    if not reality.exists:
        return Drift(address, DriftKind.MISSING, recorded.type, before)
    after = merged(before, redact(reality.attributes or {}, recorded.sensitive, key))
    if changed_names(before, after, unordered):
        return Drift(address, DriftKind.CHANGED, recorded.type, before, after)
    return None


def merged(before: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a provider answered, with each withheld value as it was recorded."""
    found = dict(answer)
    for name, value in answer.items():
        if isinstance(value, Mapping) and "$withheld" in value:
            found[name] = before.get(name)
    for name, value in before.items():
        if name not in found and isinstance(value, Mapping) and "$hmac" in value:
            found[name] = value
    return found


def planned_identity(attributes: Mapping[str, Any], rules: Rules) -> dict[str, Any] | None:
    """Return the identity that the attributes give an object, or None while one of them is not known."""
    identity = {name: attributes.get(name, rules.defaults.get(name)) for name in rules.identity_attributes}
    return None if not identity or contains_unknown(identity) or None in identity.values() else identity


def output_value(block: OutputBlock, scope: Scope) -> tuple[Any, bool]:
    """Return the clear value of an output and whether it is sensitive; refuse a secret that is not declared as one."""
    value = evaluate(block.value, scope)
    declared = block.sensitive is not None and bool(strip_sensitive(evaluate(block.sensitive, scope)))
    if sensitive_paths(value) and not declared:
        raise DiagnosticsError(
            error(
                "Output refers to a sensitive value",
                f"The value of output {block.name} is sensitive. Say so with sensitive = true, which hides it, "
                "or show it on purpose with nonsensitive(...).",
                block.value.range,
            )
        )
    clear, _ = evaluated({"value": value})
    return clear["value"], declared


# -- addresses as texts -------------------------------------------------------------------------------


def parse_target(text: str) -> ResourceAddress | TaskAddress | DerivedAddress:
    """Parse an address that the user gave or the state holds; raise DiagnosticsError if it is none."""
    try:
        return parse_address(text.removesuffix(DEPOSED))
    except ValueError as problem:
        raise DiagnosticsError(error("Wrong address", str(problem))) from None


def block_of(address: ResourceAddress | TaskAddress | DerivedAddress) -> str:
    """Return the name of the block that an address belongs to."""
    return str(address.task.block if isinstance(address, DerivedAddress) else address.block)


def block_of_text(text: str) -> str:
    """Return the name of the block that a recorded address belongs to, without parsing all of it."""
    parts = text.split(".", 2)
    second = parts[1].split("[", 1)[0].removesuffix(DEPOSED) if len(parts) > 1 else ""
    return f"{parts[0]}.{second}"


def spec_block(name: str) -> str:
    """Return the block of a provider spec's name: `provider.x`, or the task of `task.x.input`."""
    return block_of_text(name)


def _task_of(address: str) -> TaskAddress | None:
    if not address.startswith("task."):
        return None
    found = parse_target(address)
    return found.task if isinstance(found, DerivedAddress) else found if isinstance(found, TaskAddress) else None


def unknown_target(target: str, names: Collection[str]) -> Diagnostic:
    """Return the error for an address that names nothing."""
    import difflib

    shown = [name for name in names if name.split(".", 1)[0] not in ("var", "local", "output", "provider")]
    near = difflib.get_close_matches(target, shown, n=1)
    hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(sorted(shown)) or 'none'}."
    return error("Unknown address", f"Neither the configuration nor the state has {target}.{hint}")


def _exists(wanted: Wanted) -> Diagnostic:
    return error(
        "Object exists already",
        f"{wanted.address} would be created, but there is one like it already, and this state did not create it. "
        "dstream never takes over what is not its own: give the new one another name, delete the other by hand, or "
        f"take it in with an import block: import {{ to = {wanted.address} }}.",
        address=wanted.address,
    )


def _unreachable(address: str, reality: Reality) -> list[Diagnostic]:
    from dataclasses import replace

    found = [replace(d, address=d.address or address) for d in reality.diagnostics]
    return found or [error("Provider did not say whether an object exists", "Try again, or use -refresh=false.", address=address)]


def _unresolved(address: str) -> Diagnostic:
    return error(
        "Unresolved object",
        "An earlier apply was cut off while it changed this object, and its provider cannot tell whether the change "
        f"was made. Look for it by hand; then take it in with dstream import {address} IDENTITY, or, if it does not "
        f"exist, take it out of the state with dstream state rm {address}.",
        address=address,
    )


def _prevented(change: Change, lifecycle: Lifecycle) -> Diagnostic:
    return error(
        "Destruction is prevented",
        f"{change.address} would be {'replaced' if change.action.replaces else 'destroyed'}, and its lifecycle says "
        "prevent_destroy. Take prevent_destroy out first, or leave what forces this"
        + (f" ({', '.join(change.replace_paths)})" if change.replace_paths else "")
        + " as it was.",
        lifecycle.range,
        address=change.address,
    )

