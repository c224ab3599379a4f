"""Single objects of a plan: what is recorded, real and wanted of each, and so what is to be done with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from dstream.addresses import DerivedAddress, ResourceAddress
from dstream.config import Lifecycle, ResourceBlock, TaskBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.evaluate.redaction import fingerprint_paths, has_withheld, prior_for_provider, reveal
from dstream.engine.evaluate.resource_values import ResourceValues, mark_sensitive
from dstream.engine.evaluate.targeting import Selection, block_of_text, read_address
from dstream.engine.evaluate.timeouts import timeouts_of_removed
from dstream.engine.plan.errors import (
    cannot_create_before_destroy,
    destroy_prevented,
    destroy_prevented_by_provider,
    encryption_required,
    object_exists,
    sensitive_identity,
    unknown_type,
    unreachable,
    unresolved,
)
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.prefetch import Prefetch
from dstream.engine.plan.provider_plan import PlannedChange, PriorObject, plan_changes
from dstream.engine.plan.recorded_answers import RecordedAnswers
from dstream.engine.plan.replace_triggers import trigger_reason
from dstream.engine.plan.resource_diff import (
    change_of,
    drift_of,
    planned_identity,
    prior_attributes,
    removal_of,
    same_identity,
)
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.type_rules import NO_RULES, ResourceTypeRules, rules_of
from dstream.engine.refresh.import_blocks import ImportTarget, ImportTargets, read_import
from dstream.engine.refresh.moved_blocks import apply_moves, within
from dstream.engine.refresh.refresh import Refresh, RefreshedObject
from dstream.engine.setup.block_graph import object_blocks
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope
from dstream.plan import Action, Change, Drift, Reason
from dstream_state import NO_TIMEOUTS, ObjectState, Snapshot, Timeouts


class Objects:
    """The state, reality and the configuration at one moment, and the changes that were decided on so far."""

    def __init__(
        self,
        operation: Operation,
        snapshot: Snapshot,
        pool: ProviderPool,
        options: PlanOptions,
        saved_answers: RecordedAnswers | None = None,
    ) -> None:
        """Begin with the recorded objects, under their new addresses where they were moved."""
        self.operation = operation
        self.saved_answers = saved_answers
        self.config = operation.config
        self.moves = apply_moves(snapshot.resources, () if options.refresh_only else operation.config.moved)
        self.snapshot = replace(snapshot, resources=self.moves.resources)
        self.adopted: dict[str, ObjectState] = {}
        self.pool = pool
        self.options = options
        self.blocks = operation.needs
        self.resource_values = ResourceValues(operation.secrets)
        self.scope: Scope = operation.module.scope(resources=self.resource_values, planning=True)
        self.imports = ImportTargets(operation.config.imports, options.imports, self.scope)
        self.desired: dict[str, DesiredObject] = {}
        self.changes: dict[str, Change] = {}
        self.problems: list[Diagnostic] = list(self.moves.problems)
        self.changed_blocks: set[str] = set()
        """Blocks of which an object that exists is changed, for `replace_triggered_by`."""
        self.replaced = {str(read_address(text)) for text in options.replace}
        self.selected = Selection(
            options.targets, operation, self.snapshot, destroy=options.destroy, exclude=options.exclude
        )
        self.plans_objects = not (options.destroy or options.refresh_only)
        """Whether it is planned what the configuration asks for."""
        self._needs: dict[str, tuple[str, ...]] = {}
        self.sources = Prefetch(
            operation,
            self.snapshot,
            pool,
            self.scope,
            self.selected,
            self.needs,
            asks=options.refresh,
            derives=self.plans_objects,
            on_upgraded=self.moves.resources.update,
            saved_answers=saved_answers,
            discovered=options.discovered,
        )
        self.specs, self.tasks = self.sources.specs, self.sources.tasks
        self.asked, self.refresh = self.sources.asked, self.sources.refresh
        self.removed_timeouts: dict[str, Timeouts] = {}
        self._names_of: dict[str, InstanceNames] = {}
        self._rules_of: dict[tuple[str, str], ResourceTypeRules] = {}
        self._meant: dict[str, PlannedChange] = {}
        self._by_block: dict[str, list[str]] | None = None
        self._new_first: set[str] | None = None

    @property
    def key(self) -> bytes:
        return self.snapshot.hmac_key

    def needs(self, block: str) -> tuple[str, ...]:
        """The resource blocks and tasks that a block needs, through locals and providers too."""
        found = self._needs.get(block)
        if found is None:
            found = tuple(object_blocks(self.blocks, self.blocks[block]))
            self._needs[block] = found
        return found

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

    def _rules(self, spec: ProviderSpec, type_: str, block: ResourceBlock | None) -> ResourceTypeRules:
        known = self._rules_of.get((spec.name, type_))
        if known is not None:
            return known
        found = self.pool.installed(spec)
        rules = rules_of(found.info, type_)
        if rules is None:
            raise DiagnosticsError(unknown_type(type_, found.info, block.range if block is not None else spec.range))
        if rules.unreadable and not self.operation.encrypted:
            subject = block.range if block is not None else spec.range
            raise DiagnosticsError(encryption_required(type_, rules.unreadable, subject))
        self._rules_of[spec.name, type_] = rules
        return rules

    def _recorded(self, desired: DesiredObject) -> ObjectState | None:
        return self.snapshot.resources.get(desired.address)

    def _prior(self, desired: DesiredObject) -> PriorObject | None:
        """Return an object as its provider is told of it, None if there is none."""
        recorded, refreshed = self._recorded(desired), self._reality(desired.address)
        attributes = prior_attributes(recorded, refreshed, desired.sensitive, self.key)
        if recorded is None or attributes is None:
            return None
        private = refreshed.private if refreshed.private is not None else recorded.private
        return PriorObject(recorded.identity, attributes, private, refreshed.attributes)

    def _reality(self, address: str) -> RefreshedObject:
        """Return what the provider said of an object, which may have been asked for under its earlier address."""
        if address not in self.asked and address in self.moves.origins:
            return self.refresh.result(self.moves.origins[address])
        return self.refresh.result(address)

    def _check_answer(self, address: str, recorded: ObjectState | None, refreshed: RefreshedObject) -> None:
        if refreshed.queried and refreshed.exists is None:
            self.problems.extend(unreachable(address, refreshed))
        if recorded is not None and recorded.status in ("unresolved", "pending"):
            self.problems.append(unresolved(address))

    def _as_provider_plans(
        self, spec: ProviderSpec, found: list[DesiredObject], rules: ResourceTypeRules
    ) -> list[DesiredObject]:
        """Return what is wanted with what its provider says about it, where the type's schema has it asked."""
        if not rules.plans or spec.unknown:
            return found
        asked = [desired for desired in found if self._recorded(desired) or not self._importing(desired)]
        wishes = [(each, self._prior(each)) for each in asked]
        answers: list[PlannedChange] = []
        if self.saved_answers is not None:
            answers, wishes = self.saved_answers.recall_planned(wishes, rules)
        if wishes:
            fresh = plan_changes(self.pool.session(spec), wishes, rules, self.key)
            answers += (
                fresh
                if self.saved_answers is None
                else (self.saved_answers.merge_planned(each, rules) for each in fresh)
            )
        made = {each.desired.address: each for each in answers}
        self._meant.update(made)
        return [made[each.address].desired if each.address in made else each for each in found]

    def _check_absent(self, spec: ProviderSpec, found: Collection[DesiredObject], rules: ResourceTypeRules) -> None:
        """Ask about new objects whose identity is known before they exist: nobody else's object is adopted."""
        if not self.options.refresh or spec.unknown or not rules.identity_attributes:
            return
        fresh: dict[str, ObjectState] = {}
        for desired in found:
            if self._recorded(desired) is None and not self._importing(desired):
                identity = planned_identity(desired.attributes, rules)
                if identity is not None:
                    times = desired.timeouts
                    fresh[desired.address] = ObjectState(spec.name, desired.type, desired.key, identity, timeouts=times)
        self.sources.ask_absent(spec, fresh)

    def _change(
        self, desired: DesiredObject, spec: ProviderSpec, rules: ResourceTypeRules, triggered: Reason
    ) -> Change:
        address = desired.address
        self.desired[address] = desired
        if desired.sensitive:
            secret = {str(path[0]) for path in desired.sensitive} & set(rules.identity_attributes)
            self.problems += (sensitive_identity(desired, name) for name in sorted(secret))
        importing = self._adopt(desired, spec, rules)
        if importing is not None:
            [desired] = self._as_provider_plans(spec, [desired], rules)
            self.desired[address] = desired
        if address in self._meant:
            rules = self._meant[address].rules
        recorded, refreshed = self._recorded(desired), self._reality(address)
        if recorded is None and refreshed.exists:
            self.problems.append(object_exists(address))
        self._check_answer(address, recorded, refreshed)
        asked = Reason.REQUESTED if address in self.replaced else triggered
        new_first = desired.block in self.new_first or desired.lifecycle.create_before_destroy
        change = change_of(desired, recorded, refreshed, rules, asked, self.key, new_first=new_first)
        if change.action is Action.CREATE_THEN_DELETE and same_identity(desired, recorded, rules):
            self.problems.append(cannot_create_before_destroy(change, desired, rules))
        if importing is not None or address in self.moves.origins:
            change = replace(change, moved_from=self.moves.origins.get(address), importing=importing)
        if change.action not in (Action.NO_OP, Action.CREATE):
            self.changed_blocks.add(desired.block)
        if change.action.destroys and desired.lifecycle.prevent_destroy:
            self.problems.append(destroy_prevented(change, desired.range))
        self.changes[address] = change
        return change

    def _triggered(self, lifecycle: Lifecycle) -> Reason:
        return trigger_reason(lifecycle, self.config.resources, self.changes, self.changed_blocks)

    def _adopt(self, desired: DesiredObject, spec: ProviderSpec, rules: ResourceTypeRules) -> Any:
        """Take over what an `import` block or the command names; return its identity, or None."""
        address = desired.address
        importing = self._importing(desired)
        if importing is None or self._recorded(desired) is not None:
            return None
        try:
            recorded, _ = read_import(desired, importing.identity, spec, rules, self.refresh, self.key)
        except DiagnosticsError as problem:
            self.problems.extend(problem.diagnostics)
            return None
        self.adopted[address] = recorded
        self.moves.resources[address] = recorded
        return recorded.identity

    def _importing(self, desired: DesiredObject) -> ImportTarget | None:
        return self.imports.of(desired.block).get(desired.address)

    def _removal(self, address: str, item: ObjectState) -> Change | None:
        """Return what is done with an object that nothing asks for, None if it stays as it is.

        One that its task has released stays where destruction is prevented: nobody has asked for it to go.
        """
        refreshed = self.refresh.result(address)
        self._check_answer(address, item, refreshed)
        block = block_of_text(address)
        reason = Reason.NOT_IN_CONFIGURATION
        if self.options.destroy:
            reason = Reason.DESTROY
        elif block.startswith("task.") and block in self.blocks:
            reason = Reason.NOT_WANTED_BY_TASK
        if self._unneeded(address):
            reason = Reason.RELEASED
        change = removal_of(address, item, refreshed, reason, self.key)
        if self._released(address):
            detail = "a removed block says so"
            change = replace(change, action=Action.FORGET, reason=Reason.NONE, detail=detail)
        declared = self._declaration(block)
        self._time_removal(address, item, block, declared)
        if change.action.destroys and declared is not None and declared.lifecycle.prevent_destroy:
            if change.reason is Reason.RELEASED:
                return None
            self.problems.append(destroy_prevented(change, declared.range))
        elif change.action.destroys and item.prevent_destroy:
            self.problems.append(
                destroy_prevented_by_provider(change, declared.range if declared is not None else None)
            )
        return change

    def _time_removal(
        self, address: str, item: ObjectState, block: str, declared: ResourceBlock | TaskBlock | None
    ) -> None:
        """Note how long the provider may take to destroy an object, where its block is still there."""
        if declared is None:
            return
        if declared.timeouts is None:
            self.removed_timeouts[address] = item.timeouts if isinstance(declared, TaskBlock) else NO_TIMEOUTS
            return
        parsed = read_address(address)
        key = parsed.task.key if isinstance(parsed, DerivedAddress) else getattr(parsed, "key", None)
        if block not in self._names_of:
            self._names_of[block] = InstanceNames(declared.for_each, declared.count)
        try:
            found = timeouts_of_removed(declared, self._names_of[block], key, item.timeouts, self.scope)
        except DiagnosticsError as problem:
            self.problems += (each for each in problem.diagnostics if each not in self.problems)
            return
        self.removed_timeouts[address] = found

    def _unneeded(self, address: str) -> bool:
        """Tell whether a task says that it needs an object no longer, and that nothing is lost with it."""
        return not self.options.destroy and any(address in task.released for task in self.tasks.values())

    def _released(self, address: str) -> bool:
        """Tell whether a `removed` block lets an object stay while it leaves the state."""
        return any(not block.destroy and within(address, str(block.from_)) for block in self.config.removed)

    def _declaration(self, block: str) -> ResourceBlock | TaskBlock | None:
        kind, _, rest = block.partition(".")
        return self.config.tasks.get(rest) if kind == "task" else self.config.resources.get((kind, rest))

    def _drifts(self) -> list[Drift]:
        found = []
        for address in sorted(self.asked):
            recorded = self.snapshot.resources.get(address)
            if recorded is None:
                continue
            unordered = self._recorded_rules(recorded).unordered
            drift = drift_of(address, recorded, self.refresh.result(address), self.key, unordered)
            if drift is not None:
                found.append(drift)
        return found

    def _recorded_rules(self, item: ObjectState) -> ResourceTypeRules:
        known = self._rules_of.get((item.provider, item.type))
        if known is not None:
            return known
        spec = self.specs.get(item.provider)
        if spec is None:
            return NO_RULES  # for now: the turn of its provider may come
        rules = rules_of(self.pool.installed(spec).info, item.type) or NO_RULES
        self._rules_of[item.provider, item.type] = rules
        return rules

    def _exported(self, desired: DesiredObject, change: Change) -> Any:
        refreshed = self._reality(desired.address)
        clear = reveal(change.after, desired.attributes, refreshed.attributes)
        if not refreshed.queried and has_withheld(clear):
            clear = reveal(change.after, desired.attributes, self._secrets_of(desired.address))
        rules = self._rules_of.get((desired.provider, desired.type), NO_RULES)
        if change.action is Action.NO_OP:
            whole = rules.implied_type.complete(clear)
        else:
            # A provider that plans, and could not be asked yet, may have a value for anything.
            unasked = rules.plans and desired.address not in self._meant
            whole = rules.implied_type.complete(clear, undecided=unasked, growing=rules.computed)
        return mark_sensitive(whole, desired.sensitive | fingerprint_paths(change.after), desired.address)

    def _secrets_of(self, address: str) -> Mapping[str, Any] | None:
        """Read an object that was not refreshed, since something needs a secret of it."""
        recorded = self.snapshot.resources.get(address)
        spec = self.specs.get(recorded.provider) if recorded is not None else None
        if recorded is None or spec is None or spec.unknown:
            return None
        asking = Refresh(self.pool, self.operation.refresh_progress)
        asking.ask(spec, {address: recorded}, {address: prior_for_provider(recorded.attributes, (), self.key)})
        return asking.result(address).attributes

    def _export_recorded(self, block: ResourceBlock) -> None:
        """Give expressions the recorded attributes, where nothing will be planned (destroy).

        Recorded instances may have other keys than the block, if it was written anew and not applied.
        """
        self.resource_values.unknown(block.type, block.name)
        for text in self.recorded_by_block.get(f"{block.type}.{block.name}", ()):
            address = read_address(text)
            if isinstance(address, ResourceAddress):
                make = partial(self._recorded_export, text)
                self.resource_values.set(address.type, address.name, address.key, make)

    def _recorded_export(self, address: str) -> Any:
        item, refreshed = self.snapshot.resources[address], self.refresh.result(address)
        recorded = item.attributes
        if self.options.refresh_only:
            recorded = prior_attributes(item, refreshed, item.sensitive, self.key) or {}
        clear = reveal(recorded, item.attributes, refreshed.attributes)
        if not refreshed.queried and has_withheld(clear):
            clear = reveal(item.attributes, self._secrets_of(address))
        return mark_sensitive(self._recorded_rules(item).implied_type.complete(clear), item.sensitive, address)

    @property
    def recorded_by_block(self) -> dict[str, list[str]]:
        """The addresses of recorded objects by the block that they come from."""
        if self._by_block is None:
            self._by_block = {}
            for address in self.snapshot.resources:
                self._by_block.setdefault(block_of_text(address), []).append(address)
        return self._by_block
