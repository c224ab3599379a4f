"""Planning: configuration + recorded state + reality -> plan, in one pass over the blocks in order of need.

Everything that can wait for a process is started first: providers are found and probed together, recorded objects
are asked about and tasks are asked for their objects while the pass goes on. Problems of different blocks are
collected; a block that needs a broken one is left out, so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dstream.addresses import Key, ResourceAddress
from dstream.config import Lifecycle, ResourceBlock, TaskBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, has_errors
from dstream.engine.adoption import Adoption, adopted, adoptions
from dstream.engine.answers import Answers, derivation_name
from dstream.engine.asking import Meaning, Prior, meanings
from dstream.engine.blocks import object_blocks, provider_of
from dstream.engine.comparison import (
    change_of,
    drift_of,
    planned_identity,
    prior_attributes,
    removal_of,
    same_identity,
)
from dstream.engine.conditions import after, failed_checks, require
from dstream.engine.expansion import InstanceNames
from dstream.engine.exports import Exports, exported
from dstream.engine.moves import apply_moves, within
from dstream.engine.operation import Operation
from dstream.engine.outputs import output_change, removed_outputs
from dstream.engine.providers import ProviderPool, ProviderSpec
from dstream.engine.refresh import Reality, Refresh
from dstream.engine.refresh_only import taken_in
from dstream.engine.refusals import (
    cannot_be_first,
    exists_already,
    needs_encryption,
    nothing_to_import_to,
    prevented,
    sensitive_identity,
    still_wanted,
    unknown_target,
    unknown_type,
    unreachable,
    unresolved,
)
from dstream.engine.rules import NO_RULES, Rules, rules_of
from dstream.engine.secrets import has_withheld, redact, reveal, told
from dstream.engine.selection import Selection, block_of_text, read_address, task_of
from dstream.engine.sources import Sources
from dstream.engine.tasks import Streams, TaskInstance, stream_names
from dstream.engine.triggers import triggered
from dstream.engine.wanted import Evaluated, Wanted, evaluated
from dstream.lang import Scope, evaluate_body
from dstream.plan import Action, Change, Drift, OutputChange, Plan, Reason, TaskNote, contains_unknown
from dstream_state import Drop, ObjectState, Put, PutTask, Record, Snapshot


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user asks of a plan beside the configuration."""

    destroy: bool = False
    refresh: bool = True
    refresh_only: bool = False
    """Whether only the state is brought up to date with what really exists."""
    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    imports: Mapping[str, Any] = field(default_factory=dict)
    """Identities of objects to take over, by address, beside those of `import` blocks."""
    discovered: Mapping[str, Streams] = field(default_factory=dict)
    """Streams that outputs met at run time, by the name of the flow: they are recorded with the task."""


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
    adoptions: tuple[Record, ...] = ()
    """What changes in the state alone, before anything else: moved and imported objects, moved tasks."""
    moved_tasks: dict[str, str] = field(default_factory=dict)
    """The earlier address of each task that is still recorded under it, by its new one."""
    answers: Answers = field(default_factory=Answers)


def make_plan(
    operation: Operation,
    snapshot: Snapshot,
    pool: ProviderPool,
    options: PlanOptions,
    *,
    pending: int = 0,
    recalled: Answers | None = None,
) -> Prepared:
    """Return the plan that takes reality to the configuration; raise DiagnosticsError with all that is wrong.

    With the answers of a saved plan in `recalled`, nobody is asked for what it knows.
    """
    planner = _Planner(operation, snapshot, pool, options, recalled)
    return planner.run(pending)


class _Planner:
    def __init__(
        self,
        operation: Operation,
        snapshot: Snapshot,
        pool: ProviderPool,
        options: PlanOptions,
        recalled: Answers | None = None,
    ) -> None:
        self.operation = operation
        self.recalled = recalled
        self.evaluated: dict[str, Any] = {}
        self.config = operation.config
        self.moves = apply_moves(snapshot.resources, () if options.refresh_only else operation.config.moved)
        self.snapshot = replace(snapshot, resources=self.moves.resources)
        self.adopted: dict[str, ObjectState] = {}
        self.pool = pool
        self.options = options
        self.blocks = operation.needs
        self.exports = Exports()
        self.scope: Scope = operation.module.scope(resources=self.exports, planning=True)
        self.wanted: dict[str, Wanted] = {}
        self.changes: dict[str, Change] = {}
        self.notes: list[TaskNote] = []
        self.outputs: list[OutputChange] = []
        self.problems: list[Diagnostic] = list(self.moves.problems)
        self.broken: set[str] = set()
        self.kept_tasks: set[str] = set()
        self.changed_blocks: set[str] = set()
        """Blocks of which an object that exists is changed, for `replace_triggered_by`."""
        self.replaced = {str(read_address(text)) for text in options.replace}
        self.selected = Selection(
            options.targets, operation, self.snapshot, destroy=options.destroy, exclude=options.exclude
        )
        self.plans_objects = not (options.destroy or options.refresh_only)
        """Whether it is planned what the configuration asks for."""
        self._needs: dict[str, tuple[str, ...]] = {}
        self.sources = Sources(
            operation,
            self.snapshot,
            pool,
            self.scope,
            self.selected,
            self.needs,
            asks=options.refresh,
            derives=self.plans_objects,
            on_upgraded=self.moves.resources.update,
            recalled=recalled,
            discovered=options.discovered,
        )
        self.specs, self.tasks = self.sources.specs, self.sources.tasks
        self.asked, self.refresh = self.sources.asked, self.sources.refresh
        self._rules_of: dict[tuple[str, str], Rules] = {}
        self._meant: dict[str, Meaning] = {}
        self._imports: dict[str, Adoption] | None = None
        self._by_block: dict[str, list[str]] | None = None
        self._new_first: set[str] | None = None

    # -- the pass ----------------------------------------------------------------------------------

    def run(self, pending: int) -> Prepared:
        self.problems += self.sources.start_early()
        for name in self.operation.graph.in_order():
            if name in self.selected:
                self._visit(name)
        if not self.options.refresh_only:
            self._leftovers()
        known = list(self.changes)
        self.problems += (unknown_target(each, known) for each in self.replaced if each not in self.changes)
        if self.plans_objects and self.selected.everything:
            self.outputs += removed_outputs(self.snapshot.outputs, self.config.outputs)
        if not self.options.destroy:
            self.problems += failed_checks(self.config, self.scope)
        drifts = self._drifts()
        if self.plans_objects:
            self._check_blocks()
        if has_errors(self.problems):
            raise DiagnosticsError(self.problems)
        plan = Plan(
            changes=tuple(self.changes[address] for address in sorted(self.changes)),
            drifts=tuple(drifts),
            outputs=tuple(self.outputs),
            tasks=tuple(self.notes),
            diagnostics=tuple(self.problems),
            destroy=self.options.destroy,
            refresh_only=self.options.refresh_only,
            lineage=self.snapshot.lineage if self.snapshot.serial else None,
            serial=self.snapshot.serial,
            pending=pending,
            workspace=self.operation.workspace,
            variables=self._variables(),
            made_at=self.operation.module.planned_at,
        )
        realities = {address: self._reality(address) for address in (*self.asked, *self.moves.origins, *self.adopted)}
        return Prepared(
            plan,
            self.snapshot,
            self.wanted,
            self.specs,
            self.tasks,
            realities,
            self.exports,
            {name: self.needs(name) for name in self.blocks},
            tuple(self._adoptions()),
            {new: old for new, old in self.moves.tasks.items() if old in self.snapshot.tasks},
            self._answers(realities),
        )

    def _answers(self, realities: dict[str, Reality]) -> Answers:
        said = self.sources.derivations.answers
        return Answers(
            self.evaluated,
            {spec.name: spec.config for spec in self.specs.values()},
            realities,
            {derivation_name(*each): answer for each, answer in said.items()},
            self._meant,
        )

    def _variables(self) -> dict[str, Any]:
        found = {}
        for name, value in self.operation.module.variables.items():
            clear, paths = evaluated({"value": value})
            found[name] = redact(clear, paths, self.key)["value"]
        return found

    def _adoptions(self) -> Iterable[Record]:
        for address, item in self.sources.upgraded.items():
            yield Put(address, item)
        if self.options.refresh_only:
            reality = {drift.address: self._reality(drift.address) for drift in self._drifts()}
            yield from taken_in(self._drifts(), self.snapshot.resources, reality, encrypted=self.operation.encrypted)
            return
        for new, old in self.moves.origins.items():
            item, wanted = self.snapshot.resources[new], self.wanted.get(new)
            if wanted is not None:
                # From a block into a task, or out of it: another provider serves it, and calls it otherwise.
                item = self.moves.resources[new] = replace(item, provider=wanted.provider, key=wanted.key)
            yield Put(new, item)
            yield Drop(old)
        for address, item in self.adopted.items():
            yield Put(address, item)
        for old in self.moves.tasks.values():
            if old in self.snapshot.tasks:
                yield PutTask(old, None)
        for address, task in self.tasks.items():
            recorded = self.snapshot.tasks.get(address)
            if recorded is not None and any(flow in self.options.discovered for flow in task.streams):
                yield PutTask(address, replace(recorded, discovered=task.discovered))

    @property
    def new_first(self) -> set[str]:
        """The blocks whose replacements make the new object first: by their lifecycle, or because one that needs them
        does so, which can be made before its old object is gone only if what it needs can."""
        if self._new_first is None:
            lifecycles = {f"{type_}.{name}": block.lifecycle for (type_, name), block in self.config.resources.items()}
            lifecycles |= {f"task.{name}": block.lifecycle for name, block in self.config.tasks.items()}
            asking = [name for name, lifecycle in lifecycles.items() if lifecycle.create_before_destroy]
            self._new_first = self.operation.graph.closure(asking) if asking else set()
        return self._new_first

    def needs(self, block: str) -> tuple[str, ...]:
        """The resource blocks and tasks that a block needs, through locals and providers too."""
        found = self._needs.get(block)
        if found is None:
            found = tuple(object_blocks(self.blocks, self.blocks[block]))
            self._needs[block] = found
        return found

    def _guard(self, name: str, step: Callable[[str], None], argument: str) -> None:
        """Run a step of a block; collect its problems, and leave out what needs a broken block."""
        if any(needed in self.broken for needed in self.blocks[name]):
            self.broken.add(name)
            return
        try:
            step(argument)
        except DiagnosticsError as problem:
            self.broken.add(name)
            self.problems.extend(problem.diagnostics)

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
                self._guard(name, self._provider, rest)
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

    def _provider(self, name: str) -> None:
        try:
            self.sources.add_provider(name)
        except DiagnosticsError:
            # What its configuration needs may never have been created: what it has itself is destroyed all the same.
            if not self.options.destroy or f"provider.{name}" in self.specs:
                raise
            self.sources.add_recorded(name)

    def _resource(self, name: str) -> None:
        type_, _, label = name.partition(".")
        block = self.config.resources[type_, label]
        if not self.plans_objects:
            self._export_recorded(block)
            return
        spec = self.specs[f"provider.{provider_of(block)}"]
        self.exports.declare(type_, label, keyed=block.for_each is not None, counted=block.count is not None)
        rules = self._rules(spec, type_, block)
        names = InstanceNames(block.for_each, block.count)
        found = [self._declared(block, key, names, spec, rules) for key in names.of(self.scope)]
        if not self.selected.whole(name):
            self._export_recorded(block)
            found = [wanted for wanted in found if self.selected.has(wanted.address)]
        found = self._as_provider_plans(spec, found, rules)
        self._check_absent(spec, found, rules)
        triggered = self._triggered(block.lifecycle)
        for wanted in found:
            change = self._change(wanted, spec, rules, triggered)
            made = partial(self._exported, wanted, change)
            self.exports.set(type_, label, wanted.instance, made)
            if block.lifecycle.postconditions:
                problems = list(after(wanted, self.scope, made()))
                self.problems += problems
                self.broken |= {name} if problems else set()

    def _declared(
        self, block: ResourceBlock, key: Key, names: InstanceNames, spec: ProviderSpec, rules: Rules
    ) -> Wanted:
        address = str(ResourceAddress(block.type, block.name, key))

        planned = names.of(self.scope)[key]

        def bound(scope: Scope) -> Scope:
            return scope.bind(names.of(scope).get(key, planned))

        def evaluate_in(scope: Scope) -> Evaluated:
            attributes, paths = evaluated(evaluate_body(block.body, bound(scope)))
            return (attributes if self.recalled is None else self.recalled.value(address, attributes)), paths

        require(block.lifecycle.preconditions, bound(self.scope), "Precondition not met", address)

        attributes, paths = evaluate_in(self.scope)
        self.evaluated[address] = attributes
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
            range=block.range,
            instance=key,
            evaluate=evaluate_in,
            names=bound,
        )

    def _rules(self, spec: ProviderSpec, type_: str, block: ResourceBlock | None) -> Rules:
        known = self._rules_of.get((spec.name, type_))
        if known is not None:
            return known
        found = self.pool.installed(spec)
        rules = rules_of(found.info, type_)
        if rules is None:
            raise DiagnosticsError(unknown_type(type_, found.info, block.range if block is not None else spec.range))
        if rules.unreadable and not self.operation.encrypted:
            subject = block.range if block is not None else spec.range
            raise DiagnosticsError(needs_encryption(type_, rules.unreadable, subject))
        self._rules_of[spec.name, type_] = rules
        return rules

    def _task(self, name: str) -> None:
        block_name = f"task.{name}"
        own = self.sources.add_task(name)
        if self.plans_objects:
            block = self.config.tasks[name]
            names = InstanceNames(block.for_each, block.count)
            for task in own:
                scope = self.scope.bind(names.of(self.scope)[task.address.key])
                require(block.lifecycle.preconditions, scope, "Precondition not met", str(task.address))
                self.sources.derivations.finish(task)
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
            self.changed_blocks.add(block_name)
            self.changes[address] = Change(
                address,
                Action.DEFERRED,
                task.input.spec.name,
                "task",
                detail=f"waits for {waits}",
                reason=Reason.NEEDS_UNKNOWN,
            )
            return
        by_spec: dict[tuple[str, str], list[Wanted]] = {}
        names = InstanceNames(task.block.for_each, task.block.count)
        chosen = self.selected.chosen({each.address: each.dependencies for each in task.wanted})
        for each in (one for one in task.wanted if one.address in chosen):
            wanted = replace(each, names=lambda scope: scope.bind(names.of(scope)[task.address.key]))
            by_spec.setdefault((wanted.provider, wanted.type), []).append(wanted)
        for (spec_name, type_), found in by_spec.items():
            spec = specs[spec_name]
            rules = NO_RULES if type_ == "lifecycle" else self._rules(spec, type_, None)
            for wanted in found:
                self.moves.take(wanted.address, wanted.aliases)
            found = self._as_provider_plans(spec, found, rules)
            self._check_absent(spec, found, rules)
            triggered = self._triggered(task.block.lifecycle)
            for wanted in found:
                change = self._change(wanted, spec, rules, triggered)
                if wanted.lifecycle.postconditions:
                    self.problems += after(wanted, self.scope, self._exported(wanted, change))
        if self.selected.whole(block_name):
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
        unknown = unknown or any(flow in self.options.discovered for flow in task.streams)
        applied = not unknown and recorded is not None and recorded.fingerprint == task.fingerprint(self.pool, self.key)
        self.notes.append(TaskNote(address, applied, streams=stream_names(task), notes=tuple(notes)))

    def _as_provider_plans(self, spec: ProviderSpec, found: list[Wanted], rules: Rules) -> list[Wanted]:
        """Return what is wanted with what its provider says about it, where the type's schema has it asked."""
        if not rules.plans or spec.unknown:
            return found
        asked = [wanted for wanted in found if wanted.address not in self.imports or self._recorded(wanted)]
        wishes = [(each, self._prior(each)) for each in asked]
        answers: list[Meaning] = []
        if self.recalled is not None:
            answers, wishes = self.recalled.meant(wishes, rules)
        if wishes:
            fresh = meanings(self.pool.session(spec), wishes, rules, self.key)
            answers += fresh if self.recalled is None else (self.recalled.meant_again(each, rules) for each in fresh)
        made = {each.wanted.address: each for each in answers}
        self._meant.update(made)
        return [made[each.address].wanted if each.address in made else each for each in found]

    def _prior(self, wanted: Wanted) -> Prior | None:
        """Return an object as its provider is told of it, None if there is none."""
        recorded, reality = self._recorded(wanted), self._reality(wanted.address)
        attributes = prior_attributes(recorded, reality, wanted.sensitive, self.key)
        if recorded is None or attributes is None:
            return None
        private = reality.private if reality.private is not None else recorded.private
        return Prior(recorded.identity, attributes, private, reality.attributes)

    # -- one object ---------------------------------------------------------------------------------

    def _recorded(self, wanted: Wanted) -> ObjectState | None:
        return self.snapshot.resources.get(wanted.address)

    def _check_absent(self, spec: ProviderSpec, found: Collection[Wanted], rules: Rules) -> None:
        """Ask about new objects whose identity is known before they exist: nobody else's object is adopted."""
        if not self.options.refresh or spec.unknown or not rules.identity_attributes:
            return
        fresh: dict[str, ObjectState] = {}
        for wanted in found:
            if self._recorded(wanted) is None and wanted.address not in self.imports:
                identity = planned_identity(wanted.attributes, rules)
                if identity is not None:
                    fresh[wanted.address] = ObjectState(spec.name, wanted.type, wanted.key, identity)
        self.sources.ask_absent(spec, fresh)

    def _change(self, wanted: Wanted, spec: ProviderSpec, rules: Rules, triggered: Reason) -> Change:
        address = wanted.address
        self.wanted[address] = wanted
        if wanted.sensitive:
            secret = {str(path[0]) for path in wanted.sensitive} & set(rules.identity_attributes)
            self.problems += (sensitive_identity(wanted, name) for name in sorted(secret))
        importing = self._adopt(wanted, spec, rules)
        if importing is not None:
            [wanted] = self._as_provider_plans(spec, [wanted], rules)
            self.wanted[address] = wanted
        if address in self._meant:
            rules = self._meant[address].rules
        recorded, reality = self._recorded(wanted), self._reality(address)
        if recorded is None and reality.exists:
            self.problems.append(exists_already(address))
        self._check_answer(address, recorded, reality)
        asked = Reason.REQUESTED if address in self.replaced else triggered
        new_first = wanted.block in self.new_first or wanted.lifecycle.create_before_destroy
        change = change_of(wanted, recorded, reality, rules, asked, self.key, new_first=new_first)
        if change.action is Action.CREATE_THEN_DELETE and same_identity(wanted, recorded, rules):
            self.problems.append(cannot_be_first(change, wanted, rules))
        if importing is not None or address in self.moves.origins:
            change = replace(change, moved_from=self.moves.origins.get(address), importing=importing)
        if change.action not in (Action.NO_OP, Action.CREATE):
            self.changed_blocks.add(wanted.block)
        if change.action.destroys and wanted.lifecycle.prevent_destroy:
            self.problems.append(prevented(change, wanted.range))
        self.changes[address] = change
        return change

    def _adopt(self, wanted: Wanted, spec: ProviderSpec, rules: Rules) -> Any:
        """Take over what an `import` block or the command names; return its identity, or None."""
        address = wanted.address
        if address not in self.imports or self._recorded(wanted) is not None:
            return None
        try:
            recorded, _ = adopted(wanted, self.imports[address].identity, spec, rules, self.refresh, self.key)
        except DiagnosticsError as problem:
            self.problems.extend(problem.diagnostics)
            return None
        self.adopted[address] = recorded
        self.moves.resources[address] = recorded
        return recorded.identity

    @property
    def imports(self) -> dict[str, Adoption]:
        """The objects to take over, by address."""
        if self._imports is None:
            given = {address: Adoption(address, identity) for address, identity in self.options.imports.items()}
            self._imports = {**adoptions(self.config.imports, self.scope), **given}
        return self._imports

    def _check_blocks(self) -> None:
        """Report `import` and `removed` blocks that do not fit what is declared."""
        for each in self.imports.values():
            block = block_of_text(each.address)
            if each.address in self.wanted or block in self.broken or not self.selected.has(each.address):
                continue
            if not any(within(task, block) for task in self.kept_tasks):
                self.problems.append(nothing_to_import_to(each.address, block in self.blocks, each.range))
        for removed in self.config.removed:
            still = next((address for address in self.wanted if within(address, str(removed.from_))), None)
            if still is not None:
                self.problems.append(still_wanted(still, removed.range))

    def _reality(self, address: str) -> Reality:
        """Return what the provider said of an object, which may have been asked for under its earlier address."""
        if address not in self.asked and address in self.moves.origins:
            return self.refresh.reality(self.moves.origins[address])
        return self.refresh.reality(address)

    def _check_answer(self, address: str, recorded: ObjectState | None, reality: Reality) -> None:
        if reality.asked and reality.exists is None:
            self.problems.extend(unreachable(address, reality))
        if recorded is not None and recorded.status in ("unresolved", "pending"):
            self.problems.append(unresolved(address))

    def _exported(self, wanted: Wanted, change: Change) -> Any:
        reality = self._reality(wanted.address)
        clear = reveal(change.after, wanted.attributes, reality.attributes)
        if not reality.asked and has_withheld(clear):
            clear = reveal(change.after, wanted.attributes, self._secrets_of(wanted.address))
        return exported(clear, wanted.sensitive, wanted.address)

    def _secrets_of(self, address: str) -> Mapping[str, Any] | None:
        """Read an object that was not refreshed, since something needs a secret of it."""
        recorded = self.snapshot.resources.get(address)
        spec = self.specs.get(recorded.provider) if recorded is not None else None
        if recorded is None or spec is None or spec.unknown:
            return None
        asking = Refresh(self.pool, self.operation.asked)
        asking.ask(spec, {address: recorded}, {address: told(recorded.attributes, (), self.key)})
        return asking.reality(address).attributes

    def _export_recorded(self, block: ResourceBlock) -> None:
        """Give expressions the recorded attributes, where nothing will be planned (destroy).

        Recorded instances may have other keys than the block, if it was written anew and not applied.
        """
        self.exports.unknown(block.type, block.name)
        for text in self.recorded_by_block.get(f"{block.type}.{block.name}", ()):
            address = read_address(text)
            if isinstance(address, ResourceAddress):
                make = partial(self._recorded_export, text)
                self.exports.set(address.type, address.name, address.key, make)

    def _recorded_export(self, address: str) -> Any:
        item, reality = self.snapshot.resources[address], self.refresh.reality(address)
        recorded = item.attributes
        if self.options.refresh_only:
            recorded = prior_attributes(item, reality, item.sensitive, self.key) or {}
        clear = reveal(recorded, item.attributes, reality.attributes)
        if not reality.asked and has_withheld(clear):
            clear = reveal(item.attributes, self._secrets_of(address))
        return exported(clear, item.sensitive, address)

    @property
    def recorded_by_block(self) -> dict[str, list[str]]:
        """The addresses of recorded objects by the block that they come from."""
        if self._by_block is None:
            self._by_block = {}
            for address in self.snapshot.resources:
                self._by_block.setdefault(block_of_text(address), []).append(address)
        return self._by_block

    def _triggered(self, lifecycle: Lifecycle) -> Reason:
        return triggered(lifecycle, self.config.resources, self.changes, self.changed_blocks)

    # -- what is left -------------------------------------------------------------------------------

    def _leftovers(self) -> None:
        """Delete what the state has and nothing asks for."""
        for address, item in self.snapshot.resources.items():
            if address in self.changes or not self.selected.has(address):
                continue
            block = block_of_text(address)
            if block in self.broken or str(task_of(address)) in self.kept_tasks:
                continue
            self.changes[address] = self._removal(address, item)
        configured = set() if self.options.destroy else {str(task.address) for task in self.tasks.values()}
        moved = set(self.moves.tasks.values())
        for address in sorted(self.snapshot.tasks):
            if address not in configured and address not in moved and self.selected.has(address):
                if block_of_text(address) in self.broken:
                    continue
                self.notes.append(TaskNote(address, applied=False, removed=True))

    def _removal(self, address: str, item: ObjectState) -> Change:
        reality = self.refresh.reality(address)
        self._check_answer(address, item, reality)
        block = block_of_text(address)
        reason = Reason.NOT_IN_CONFIGURATION
        if self.options.destroy:
            reason = Reason.DESTROY
        elif block.startswith("task.") and block in self.blocks:
            reason = Reason.NOT_WANTED_BY_TASK
        change = removal_of(address, item, reality, reason, self.key)
        if self._released(address):
            detail = "a removed block says so"
            change = replace(change, action=Action.FORGET, reason=Reason.NONE, detail=detail)
        declared = self._declaration(block)
        if change.action.destroys and declared is not None and declared.lifecycle.prevent_destroy:
            self.problems.append(prevented(change, declared.range))
        return change

    def _released(self, address: str) -> bool:
        """Tell whether a `removed` block lets an object stay while it leaves the state."""
        return any(not block.destroy and within(address, str(block.from_)) for block in self.config.removed)

    def _declaration(self, block: str) -> ResourceBlock | TaskBlock | None:
        kind, _, rest = block.partition(".")
        return self.config.tasks.get(rest) if kind == "task" else self.config.resources.get((kind, rest))

    def _output(self, name: str) -> None:
        block, recorded = self.config.outputs[name], self.snapshot.outputs.get(name)
        if self.options.refresh_only and recorded is None:
            return
        require(block.preconditions, self.scope, "Precondition not met", f"output.{name}")
        change = output_change(block, recorded, self.scope, self.key)
        if self.options.refresh_only and contains_unknown(change.after):
            return
        self.outputs.append(change)

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
        known = self._rules_of.get((item.provider, item.type))
        if known is None:
            spec = self.specs.get(item.provider)
            rules = rules_of(self.pool.installed(spec).info, item.type) if spec is not None else None
            known = self._rules_of[item.provider, item.type] = rules or NO_RULES
        return known.unordered
