"""Single objects of a plan: what is recorded, real and wanted of each, and so what is to be done with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from dstream.addresses import DerivedAddress, ResourceAddress
from dstream.config import Lifecycle, ResourceBlock, TaskBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.evaluate.desired import Wanted
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.evaluate.redaction import fingerprint_paths, has_withheld, reveal, told
from dstream.engine.evaluate.resource_values import Exports, exported
from dstream.engine.evaluate.targeting import Selection, block_of_text, read_address
from dstream.engine.evaluate.timeouts import timeouts_of_removed
from dstream.engine.plan.errors import (
    cannot_be_first,
    exists_already,
    guarded,
    needs_encryption,
    prevented,
    sensitive_identity,
    unknown_type,
    unreachable,
    unresolved,
)
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.prefetch import Sources
from dstream.engine.plan.provider_plan import Meaning, Prior, meanings
from dstream.engine.plan.recorded_answers import Answers
from dstream.engine.plan.replace_triggers import triggered
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
from dstream.engine.providers.type_rules import NO_RULES, Rules, rules_of
from dstream.engine.refresh.import_blocks import Adoption, Adoptions, adopted
from dstream.engine.refresh.moved_blocks import apply_moves, within
from dstream.engine.refresh.refresh import Reality, Refresh
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
        recalled: Answers | None = None,
    ) -> None:
        """Begin with the recorded objects, under their new addresses where they were moved."""
        self.operation = operation
        self.recalled = recalled
        self.config = operation.config
        self.moves = apply_moves(snapshot.resources, () if options.refresh_only else operation.config.moved)
        self.snapshot = replace(snapshot, resources=self.moves.resources)
        self.adopted: dict[str, ObjectState] = {}
        self.pool = pool
        self.options = options
        self.blocks = operation.needs
        self.exports = Exports(operation.secrets)
        self.scope: Scope = operation.module.scope(resources=self.exports, planning=True)
        self.imports = Adoptions(operation.config.imports, options.imports, self.scope)
        self.wanted: dict[str, Wanted] = {}
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
        self.removed_timeouts: dict[str, Timeouts] = {}
        self._names_of: dict[str, InstanceNames] = {}
        self._rules_of: dict[tuple[str, str], Rules] = {}
        self._meant: dict[str, Meaning] = {}
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

    def _recorded(self, wanted: Wanted) -> ObjectState | None:
        return self.snapshot.resources.get(wanted.address)

    def _prior(self, wanted: Wanted) -> Prior | None:
        """Return an object as its provider is told of it, None if there is none."""
        recorded, reality = self._recorded(wanted), self._reality(wanted.address)
        attributes = prior_attributes(recorded, reality, wanted.sensitive, self.key)
        if recorded is None or attributes is None:
            return None
        private = reality.private if reality.private is not None else recorded.private
        return Prior(recorded.identity, attributes, private, reality.attributes)

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

    def _as_provider_plans(self, spec: ProviderSpec, found: list[Wanted], rules: Rules) -> list[Wanted]:
        """Return what is wanted with what its provider says about it, where the type's schema has it asked."""
        if not rules.plans or spec.unknown:
            return found
        asked = [wanted for wanted in found if self._recorded(wanted) or not self._importing(wanted)]
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

    def _check_absent(self, spec: ProviderSpec, found: Collection[Wanted], rules: Rules) -> None:
        """Ask about new objects whose identity is known before they exist: nobody else's object is adopted."""
        if not self.options.refresh or spec.unknown or not rules.identity_attributes:
            return
        fresh: dict[str, ObjectState] = {}
        for wanted in found:
            if self._recorded(wanted) is None and not self._importing(wanted):
                identity = planned_identity(wanted.attributes, rules)
                if identity is not None:
                    times = wanted.timeouts
                    fresh[wanted.address] = ObjectState(spec.name, wanted.type, wanted.key, identity, timeouts=times)
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

    def _triggered(self, lifecycle: Lifecycle) -> Reason:
        return triggered(lifecycle, self.config.resources, self.changes, self.changed_blocks)

    def _adopt(self, wanted: Wanted, spec: ProviderSpec, rules: Rules) -> Any:
        """Take over what an `import` block or the command names; return its identity, or None."""
        address = wanted.address
        importing = self._importing(wanted)
        if importing is None or self._recorded(wanted) is not None:
            return None
        try:
            recorded, _ = adopted(wanted, importing.identity, spec, rules, self.refresh, self.key)
        except DiagnosticsError as problem:
            self.problems.extend(problem.diagnostics)
            return None
        self.adopted[address] = recorded
        self.moves.resources[address] = recorded
        return recorded.identity

    def _importing(self, wanted: Wanted) -> Adoption | None:
        return self.imports.of(wanted.block).get(wanted.address)

    def _removal(self, address: str, item: ObjectState) -> Change | None:
        """Return what is done with an object that nothing asks for, None if it stays as it is.

        One that its task has released stays where destruction is prevented: nobody has asked for it to go.
        """
        reality = self.refresh.reality(address)
        self._check_answer(address, item, reality)
        block = block_of_text(address)
        reason = Reason.NOT_IN_CONFIGURATION
        if self.options.destroy:
            reason = Reason.DESTROY
        elif block.startswith("task.") and block in self.blocks:
            reason = Reason.NOT_WANTED_BY_TASK
        if self._unneeded(address):
            reason = Reason.RELEASED
        change = removal_of(address, item, reality, reason, self.key)
        if self._released(address):
            detail = "a removed block says so"
            change = replace(change, action=Action.FORGET, reason=Reason.NONE, detail=detail)
        declared = self._declaration(block)
        self._time_removal(address, item, block, declared)
        if change.action.destroys and declared is not None and declared.lifecycle.prevent_destroy:
            if change.reason is Reason.RELEASED:
                return None
            self.problems.append(prevented(change, declared.range))
        elif change.action.destroys and item.prevent_destroy:
            self.problems.append(guarded(change, declared.range if declared is not None else None))
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
            drift = drift_of(address, recorded, self.refresh.reality(address), self.key, unordered)
            if drift is not None:
                found.append(drift)
        return found

    def _recorded_rules(self, item: ObjectState) -> Rules:
        known = self._rules_of.get((item.provider, item.type))
        if known is not None:
            return known
        spec = self.specs.get(item.provider)
        if spec is None:
            return NO_RULES  # for now: the turn of its provider may come
        rules = rules_of(self.pool.installed(spec).info, item.type) or NO_RULES
        self._rules_of[item.provider, item.type] = rules
        return rules

    def _exported(self, wanted: Wanted, change: Change) -> Any:
        reality = self._reality(wanted.address)
        clear = reveal(change.after, wanted.attributes, reality.attributes)
        if not reality.asked and has_withheld(clear):
            clear = reveal(change.after, wanted.attributes, self._secrets_of(wanted.address))
        rules = self._rules_of.get((wanted.provider, wanted.type), NO_RULES)
        if change.action is Action.NO_OP:
            whole = rules.shape.whole(clear)
        else:
            # A provider that plans, and could not be asked yet, may have a value for anything.
            unasked = rules.plans and wanted.address not in self._meant
            whole = rules.shape.whole(clear, undecided=unasked, growing=rules.computed)
        return exported(whole, wanted.sensitive | fingerprint_paths(change.after), wanted.address)

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
        return exported(self._recorded_rules(item).shape.whole(clear), item.sensitive, address)

    @property
    def recorded_by_block(self) -> dict[str, list[str]]:
        """The addresses of recorded objects by the block that they come from."""
        if self._by_block is None:
            self._by_block = {}
            for address in self.snapshot.resources:
                self._by_block.setdefault(block_of_text(address), []).append(address)
        return self._by_block
