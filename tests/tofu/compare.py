"""The differences between the results of OpenTofu and of dstream for one step.

Differences that are meant have a rule here, and a line in docs/coming-from-terraform.md. A rule changes the result of
OpenTofu to what dstream is expected to show, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from tests.tofu.ordering import block_of, transitive
from tests.tofu.results import Result
from tests.tofu.steps import Step

REASONS = {
    "replace_because_tainted": "tainted",
    "replace_by_request": "requested",
    "replace_by_triggers": "replace_triggered_by",
    "replace_because_cannot_update": None,  # `replace_paths` say so
    "delete_because_no_resource_config": "not_in_configuration",
    "delete_because_wrong_repetition": "not_in_configuration",
    "delete_because_count_index": "not_in_configuration",
    "delete_because_each_key": "not_in_configuration",
    "delete_because_no_move_target": "not_in_configuration",
}
"""The reason of dstream for each of OpenTofu."""

REASONLESS = ("create", "forget")
"""Actions for which OpenTofu gives a reason and dstream does not: a trigger of an object that does not exist yet, and
the missing block of an object that a `removed` block names."""

ENDS = {
    "Moved resource instances excluded by targeting": "moved-and-targeted",
    "no change found for ": "trigger-without-instances",
    "Cycle: ": "cycle",
}
"""The beginnings of summaries with which OpenTofu refuses what dstream accepts, and the names of these rules. A trial
ends with them, since the states differ from then on."""

_CARRIED_OUT = ("create", "update", "delete", "delete-create", "create-delete")

KEPT = {
    "protected-without-block": "prevent_destroy holds after the block is deleted.",
    "moved-beside-others": "A block can be moved to one of which other instances exist.",
    "excluded-outputs": "-exclude leaves out the outputs that depend on an excluded object.",
    "targeted-change": "OpenTofu plans a change with -target, and does not carry it out, without an error.",
    "deleted-after-failure": "Where a change fails, it depends on the order which deletions are carried out: dstream "
    "deletes an object after those that release it were updated, OpenTofu deletes one with create_before_destroy after "
    "those that it needed were updated.",
    "remembered-replacement": "dstream plans a replacement again that an apply began and did not finish.",
    "instance-and-dependent": "Where a target needs all of a block, dstream plans all of it, even if another "
    "target names one instance of that block.",
}
"""The rules for what one program keeps or does again after an apply that both planned alike. They end a trial too."""

REFUSALS = {
    "Resource instance cannot be destroyed": "Destruction prevented",
    "Resource postcondition failed": "Postcondition not met",
    "Resource precondition failed": "Precondition not met",
    "Moved object still exists": "Moved object still declared",
}
"""The summary of dstream for each of OpenTofu."""


def plan_differences(step: Step, ours: Result, theirs: Result) -> list[str]:
    """Return what differs in the plan of a step, and in the errors of its apply."""
    found = _refused("refusal of the plan", ours.refused, theirs.refused)
    found += _changes("plan", ours.plan, _kept_by_removed(step, theirs.plan), destroy=step.destroy)
    if not step.destroy and not step.exclude:
        # The plan of a destroy leaves out the outputs, which go with the objects, and -exclude those of its dependents.
        found += _differ("outputs", _changed(ours.outputs), _changed(theirs.outputs))
    return found + _refused("errors of the apply", ours.failed, theirs.failed)


def _changed(outputs: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the changes of outputs. OpenTofu forgets those that a failed apply did not reach."""
    return {name: ["update"] if actions == ["create"] else actions for name, actions in outputs.items()}


def _kept_by_removed(step: Step, plan: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the plan of a destroy, in which dstream keeps the objects of `removed` blocks that say so."""
    kept = re.findall(r"^removed \{\n  from = (\S+)\n  lifecycle \{\n    destroy = false", step.text, re.MULTILINE)
    return {
        address: {"actions": "forget"} if step.destroy and address.partition("[")[0] in kept else each
        for address, each in plan.items()
    }


def outcome_differences(ours: Result, theirs: Result) -> list[str]:
    """Return what differs in the state after a step, and in the next plan."""
    found = state_differences(ours, theirs)
    found += _refused("refusal of the next plan", ours.again_refused, theirs.again_refused)
    return found + _changes("next plan", ours.again, theirs.again, destroy=False)


def state_differences(ours: Result, theirs: Result, apart: Collection[str] = ()) -> list[str]:
    """Return what differs in the state after a step, apart from some addresses."""

    def others(part: Mapping[str, Any]) -> dict[str, Any]:
        return {address: each for address, each in part.items() if address.removesuffix("#deposed") not in apart}

    found = _mapping("state", others(ours.state), others(theirs.state))
    return found + _differ("objects that are kept", others(ours.kept), others(theirs.kept))


def refused_by_opentofu(theirs: Result) -> str:
    """Return the name of the rule by which OpenTofu refuses a step that dstream accepts; empty if there is none."""
    summaries = [*theirs.refused, *theirs.failed, *theirs.again_refused]
    return next((rule for text, rule in ENDS.items() for each in summaries if each.startswith(text)), "")


def planned_otherwise(step: Step, ours: Result, theirs: Result) -> str:
    """Return the name of the rule by which dstream plans other objects than OpenTofu; empty if there is none."""
    if any(theirs.plan.get(old, {}).get("actions") == "delete" for old in _origins(ours)):
        return "moved-beside-others"
    if _instance_and_dependent(step) and theirs.plan.keys() < ours.plan.keys():
        return "instance-and-dependent"
    for refused, other, plan in (
        (ours.refused, theirs.refused, theirs.plan),
        (ours.again_refused, theirs.again_refused, theirs.again),
    ):
        prevented = "Destruction prevented" in refused
        if prevented and not other and any(each["actions"] == "delete" for each in plan.values()):
            return "protected-without-block"
    return ""


def _origins(result: Result) -> set[str]:
    """Return the addresses from which a plan moves objects."""
    return {each["previous"] for each in result.plan.values() if "previous" in each}


def kept_by_one(step: Step, earlier: Step | None, ours: Result, theirs: Result) -> tuple[str, set[str]]:
    """Return the name of the rule by which one program leaves out what both plan, and the addresses that differ by it.

    The name is empty if there is no such rule.
    """
    planned = {(address, each["actions"]) for address, each in theirs.plan.items()}
    done = {(event.address, event.action) for event in theirs.events}
    begun = {(address, each) for address, actions in planned if actions in _CARRIED_OUT for each in actions.split("-")}
    if step.targets and not theirs.failed and begun - done:
        return "targeted-change", {address for address, _ in begun - done}
    if step.exclude and _changed(ours.outputs) != _changed(theirs.outputs):
        return "excluded-outputs", set()
    deleted = {address for address, actions in planned if "delete" in actions}
    other = {address.removesuffix("#deposed") for address in ours.state.keys() ^ theirs.state.keys()}
    both_failed = bool(ours.failed and theirs.failed)
    if both_failed and other and other <= deleted and all(_waited(each, step, earlier, ours, theirs) for each in other):
        return "deleted-after-failure", other
    if both_failed and any(_remembered(each, ours, theirs) for each in ours.again):
        return "remembered-replacement", set()
    return "", set()


def _waited(address: str, step: Step, earlier: Step | None, ours: Result, theirs: Result) -> bool:
    """Whether a change is planned that the deletion of an object waits for in the program that kept it."""
    kept_by_dstream = any(each.removesuffix("#deposed") == address for each in ours.state.keys() - theirs.state.keys())
    block = block_of(address)
    waits_for = {block}
    for needs in (transitive(each.needs) for each in (step, earlier) if each is not None):
        waits_for |= {name for name, needed in needs.items() if block in needed}
        if not kept_by_dstream:
            waits_for |= needs.get(block, set())
    changed = {each for each, change in theirs.plan.items() if change["actions"] in _CARRIED_OUT}
    return any(block_of(each) in waits_for for each in changed - {address})


def _instance_and_dependent(step: Step) -> bool:
    """Whether a target names an instance of a block that another target needs."""
    needs = transitive(step.needs)
    parts = {block_of(each) for each in step.targets if "[" in each}
    return any(needed in parts for each in step.targets for needed in needs.get(block_of(each), ()))


def _remembered(address: str, ours: Result, theirs: Result) -> bool:
    """Whether both planned to replace an object, and only dstream plans it again."""
    replaced = ("delete-create", "create-delete")
    mine, other, planned = (each.get(address, {}).get("actions") for each in (ours.again, theirs.again, theirs.plan))
    return mine in replaced and planned in replaced and other not in replaced


def _refused(what: str, ours: list[str], theirs: list[str]) -> list[str]:
    """Compare refusals. Both have to refuse, and for a reason in common: dstream reports fewer errors of one run."""
    expected = {REFUSALS.get(each, each) for each in theirs}
    return [] if set(ours) & expected else _differ(what, ours, sorted(expected))


def _changes(what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], *, destroy: bool) -> list[str]:
    return _mapping(what, ours, {address: _expected(each, destroy) for address, each in theirs.items()})


def _expected(change: Mapping[str, Any], destroy: bool) -> dict[str, Any]:
    """Return a change of OpenTofu as dstream shows it."""
    found = dict(change)
    reason = found.pop("reason", None)
    if found["actions"] in REASONLESS:
        return found
    if destroy and reason is None and found["actions"] == "delete":
        return {**found, "reason": "destroy"}
    if reason is not None and (ours := REASONS.get(reason, reason)) is not None:
        found["reason"] = ours
    return found


def _mapping(what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    found = []
    for address in sorted(ours.keys() | theirs.keys()):
        found += _differ(f"{what}: {address}", ours.get(address), theirs.get(address))
    return found


def _differ(what: str, ours: Any, theirs: Any) -> list[str]:
    left, right = json.dumps(ours, sort_keys=True), json.dumps(theirs, sort_keys=True)
    return [] if left == right else [f"{what}\n    dstream  {left}\n    OpenTofu {right}"]
