"""Recorded answers: the evaluated values and provider answers of a plan, used again when the saved plan is applied.

A saved plan holds them without secrets: each sensitive value is `SECRET`. When the plan is applied, planning runs again
with these answers instead of requests. Only an answer that contained a secret is requested again, and only its secrets
are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.consequences import Consequence
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.redaction import Path
from dstream.engine.plan.provider_plan import PlannedChange, PriorObject
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.task_instance import Side
from dstream.engine.providers.task_requirements import TaskRequirements
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.engine.refresh.refresh import NOT_REFRESHED, Refresh, RefreshedObject
from dstream.engine.setup.hooks import RefreshProgress
from dstream.lang import SetValue, Unknown, from_json_value, sensitive_paths, strip_sensitive, to_json_value
from dstream.lang.markers import SECRET, UNKNOWN_MARKER, WITHHELD, escaped
from dstream.plugins.assessment import Assessment
from dstream.plugins.derivation import Derivation, DerivedResource
from dstream_state import ObjectState, Timeouts

_ABSENT = object()


class RecordedAnswers(Struct, frozen=True):
    """The inputs of a plan besides state and configuration, by address or by the name of a provider."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """The evaluated attributes of declared objects."""
    configs: Mapping[str, Any] = field(default_factory=dict)
    """The evaluated configurations of providers."""
    refreshed_objects: Mapping[str, RefreshedObject] = field(default_factory=dict)
    derivations: Mapping[str, Derivation] = field(default_factory=dict)
    """The requirements of the sides of tasks, by `requirement_key`."""
    planned_changes: Mapping[str, PlannedChange] = field(default_factory=dict)
    """The changes that providers planned."""

    def value(self, address: str, fresh: dict[str, Any]) -> dict[str, Any]:
        """Return the evaluated attributes of the plan; secret and unknown values are taken from `fresh`."""
        saved = self.values.get(address)
        return fresh if saved is None else dict(restored(saved, fresh))

    def configured(self, spec: ProviderSpec) -> ProviderSpec:
        """Return a provider with its configuration of the plan, and the present secrets."""
        saved = self.configs.get(spec.name)
        return spec if saved is None else replace(spec, config=restored(saved, spec.config))

    def recall_planned(
        self, proposals: Sequence[tuple[DesiredObject, PriorObject | None]], rules: ResourceTypeRules
    ) -> tuple[list[PlannedChange], list[tuple[DesiredObject, PriorObject | None]]]:
        """Return the recorded changes, and the proposals that providers have to plan again."""
        known: list[PlannedChange] = []
        rest: list[tuple[DesiredObject, PriorObject | None]] = []
        for desired, prior in proposals:
            saved = self.planned_changes.get(desired.address)
            attributes: Any = SECRET if saved is None else restored(saved.desired.attributes, desired.attributes)
            if saved is None or has_secret(attributes):
                rest.append((desired, prior))
            else:
                made = replace(desired, attributes=dict(attributes))
                known.append(PlannedChange(made, _planned_rules(saved, rules), desired.attributes))
        return known, rest

    def merge_planned(self, fresh: PlannedChange, rules: ResourceTypeRules) -> PlannedChange:
        """Return a recorded change with the secrets of a fresh answer."""
        saved = self.planned_changes.get(fresh.desired.address)
        if saved is None:
            return fresh
        attributes = restored(saved.desired.attributes, fresh.desired.attributes)
        return PlannedChange(
            replace(fresh.desired, attributes=dict(attributes)), _planned_rules(saved, rules), fresh.proposed
        )


def _planned_rules(saved: PlannedChange, rules: ResourceTypeRules) -> ResourceTypeRules:
    computed = saved.rules.computed
    return replace(rules, computed=computed, unknown=computed, replace=saved.rules.replace, defaults={})


def requirement_key(flow: str, role: str) -> str:
    """Return the key of the answer of one side of a flow."""
    return f"{flow} {role}"


def has_secret(value: Any) -> bool:
    """Return whether a value contains `SECRET`."""
    if isinstance(value, Mapping):
        return value == SECRET or any(map(has_secret, value.values()))
    return isinstance(value, list | tuple) and any(map(has_secret, value))


def restored(saved: Any, fresh: Any) -> Any:
    """Return a saved value with its secret and unknown parts taken from a fresh one, if present."""
    if isinstance(saved, Unknown) or saved == SECRET:
        return saved if fresh is _ABSENT else fresh
    if isinstance(saved, Mapping):
        inner = fresh if isinstance(fresh, Mapping) else {}
        return {name: restored(value, inner.get(name, _ABSENT)) for name, value in saved.items()}
    if isinstance(saved, list | tuple):
        items = list(fresh) if isinstance(fresh, list | tuple | SetValue) else []
        return [restored(value, items[index] if index < len(items) else _ABSENT) for index, value in enumerate(saved)]
    return saved


class SavedRefresh(Refresh):
    """Refresh answers of a saved plan; those with secrets are requested again."""

    def __init__(self, pool: ProviderPool, progress: RefreshProgress, saved: Mapping[str, RefreshedObject]) -> None:
        """Take the saved answers."""
        super().__init__(pool, progress)
        self._saved = saved

    def ask(self, spec: ProviderSpec, objects: Mapping[str, ObjectState], prior: Mapping[str, Any]) -> None:
        """See `Refresh`."""
        again = {address: item for address, item in objects.items() if not self._recall(address)}
        if again:
            super().ask(spec, again, prior)

    def read_for_import(self, spec: ProviderSpec, address: str, item: ObjectState) -> RefreshedObject:
        """See `Refresh`."""
        if not self._recall(address):
            super().read_for_import(spec, address, item)
        return self.result(address)

    def result(self, address: str) -> RefreshedObject:
        """See `Refresh`."""
        found = super().result(address)
        saved = self._saved.get(address)
        if saved is None or not has_secret(saved.attributes):
            return found
        attributes = restored(saved.attributes, found.attributes or {})
        return replace(saved, attributes=_withheld(attributes))

    def _recall(self, address: str) -> bool:
        saved = self._saved.get(address)
        if saved is None or has_secret(saved.attributes):
            return False
        self._answers[address] = saved
        return True


def _withheld(value: Any) -> Any:
    if isinstance(value, Mapping):
        return WITHHELD if value == SECRET else {name: _withheld(inner) for name, inner in value.items()}
    return [_withheld(inner) for inner in value] if isinstance(value, list | tuple) else value


class SavedTaskRequirements(TaskRequirements):
    """Task requirements of a saved plan; a side whose answer had secrets is queried again."""

    def __init__(self, pool: ProviderPool, saved: Mapping[str, Derivation]) -> None:
        """Take the saved answers, by `requirement_key`."""
        super().__init__(pool)
        self._saved = saved

    def answer(
        self, side: Side, flow: str, streams: tuple[Mapping[str, Any], ...], assess: Mapping[str, Any] | None
    ) -> Derivation:
        """See `TaskRequirements`."""
        saved = self._saved.get(requirement_key(flow, side.role))
        if saved is None:
            return super().answer(side, flow, streams, assess)
        if not any(has_secret(each.attributes) for each in saved.resources):
            return saved
        fresh = {(each.type, each.key): each for each in super().answer(side, flow, streams, None).resources}
        return replace(saved, resources=tuple(_with_secrets(each, fresh) for each in saved.resources))


def _with_secrets(saved: DerivedResource, fresh: Mapping[tuple[str, str], DerivedResource]) -> DerivedResource:
    now = fresh.get((saved.type, saved.key))
    attributes = restored(from_json_value(saved.attributes), from_json_value(now.attributes) if now else {})
    return replace(saved, attributes=to_json_value(attributes))


# -- as JSON ---------------------------------------------------------------------------------------------


def without_secrets(value: Any, paths: Iterable[Path]) -> Any:
    """Return a value as JSON values: `SECRET` at each path, unknown values marked as on the wire."""
    return _form(value, frozenset(paths), ())


def _form(value: Any, paths: frozenset[Path], here: Path) -> Any:
    if isinstance(value, Unknown):
        return UNKNOWN_MARKER
    if here in paths and value is not None and value != WITHHELD:
        return SECRET
    if isinstance(value, Mapping):
        return escaped({name: _form(inner, paths, (*here, name)) for name, inner in value.items()})
    if isinstance(value, list | tuple):
        return [_form(inner, paths, (*here, index)) for index, inner in enumerate(value)]
    return value


def answers_form(answers: RecordedAnswers, secret: Mapping[str, Iterable[Path]]) -> dict[str, Any]:
    """Return answers as JSON values; `secret` has the paths of sensitive attributes by address.

    An object that is not in `secret` is replaced entirely: all of it counts as secret.
    """

    def paths(address: str) -> Iterable[Path]:
        return secret.get(address, ((),))

    return {
        "values": {address: without_secrets(value, paths(address)) for address, value in answers.values.items()},
        "configs": {
            name: without_secrets(_plain(config), [path for path, _ in sensitive_paths(config)])
            for name, config in answers.configs.items()
        },
        "realities": {
            address: _reality_form(each, paths(address)) for address, each in answers.refreshed_objects.items()
        },
        "derivations": {name: _derivation_form(each) for name, each in answers.derivations.items()},
        "meanings": {
            address: {
                "attributes": without_secrets(each.desired.attributes, paths(address)),
                "computed": sorted(each.rules.computed),
                "replace": sorted(each.rules.replace),
            }
            for address, each in answers.planned_changes.items()
        },
    }


def _plain(config: Any) -> Any:
    from dstream.engine.evaluate.desired import plain

    return plain(strip_sensitive(config))


def _reality_form(found: RefreshedObject, paths: Iterable[Path]) -> dict[str, Any]:
    return {
        "asked": found.queried,
        "exists": found.exists,
        "attributes": None if found.attributes is None else without_secrets(found.attributes, paths),
        "identity": found.identity,
        "private": found.private,
    }


def _derivation_form(found: Derivation) -> dict[str, Any]:
    return {
        "resources": [_resource_form(each) for each in found.resources],
        "streams": list(found.streams),
        "deferred": None if found.deferred is None else list(found.deferred),
        "released": list(found.released),
        "consequences": [each.to_json() for each in found.assessment.consequences],
    }


def _resource_form(item: DerivedResource) -> dict[str, Any]:
    return {
        "type": item.type,
        "key": item.key,
        "attributes": without_secrets(from_json_value(item.attributes), item.sensitive),
        "depends_on": item.depends_on,
        "aliases": item.aliases,
        "sensitive": item.sensitive,
        "prevent_destroy": item.prevent_destroy,
        "ignore_changes": item.ignore_changes,
        "create_before_destroy": item.create_before_destroy,
        "timeouts": item.timeouts.to_json(),
    }


def answers_from(form: Mapping[str, Any]) -> RecordedAnswers:
    """Return the answers from the result of `answers_form`."""
    desired = DesiredObject("", "", "", "", "", {}, frozenset(), (), _no_lifecycle())
    return RecordedAnswers(
        values={address: from_json_value(value) for address, value in form["values"].items()},
        configs={name: from_json_value(value) for name, value in form["configs"].items()},
        refreshed_objects={address: _reality(each) for address, each in form["realities"].items()},
        derivations={name: _derivation(each) for name, each in form["derivations"].items()},
        planned_changes={
            address: PlannedChange(
                replace(desired, address=address, attributes=from_json_value(each["attributes"])),
                ResourceTypeRules(computed=frozenset(each["computed"]), replace=frozenset(each["replace"])),
            )
            for address, each in form["meanings"].items()
        },
    )


def _no_lifecycle() -> Any:
    from dstream.config import Lifecycle

    return Lifecycle()


def _reality(form: Mapping[str, Any]) -> RefreshedObject:
    if not form["asked"]:
        return NOT_REFRESHED
    return RefreshedObject(True, form["exists"], from_json_value(form["attributes"]), form["identity"], form["private"])


def _derivation(form: Mapping[str, Any]) -> Derivation:
    resources = tuple(
        DerivedResource(
            each["type"],
            each["key"],
            each["attributes"],
            _pairs(each["depends_on"]),
            _pairs(each["aliases"]),
            tuple(map(tuple, each["sensitive"])),
            each["prevent_destroy"],
            tuple(each["ignore_changes"]),
            each["create_before_destroy"],
            Timeouts.from_json(each.get("timeouts", {})),
        )
        for each in form["resources"]
    )
    deferred = form["deferred"]
    waits = None if deferred is None else tuple(deferred)
    consequences = tuple(map(Consequence.from_json, form.get("consequences", ())))
    return Derivation(
        resources,
        tuple(form["streams"]),
        waits,
        _pairs(form.get("released", ())),
        assessment=Assessment(consequences),
    )


def _pairs(form: Iterable[Any]) -> tuple[tuple[str, str], ...]:
    return tuple((type_, key) for type_, key in form)
