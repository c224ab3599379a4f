"""Plan model: actions, changes, drift, the plan and its JSON form. Pure; the only user of deepdiff."""

from dstream.plan.action import Action
from dstream.plan.change import Change, Drift, DriftKind, OutputChange, Reason
from dstream.plan.decide import DecideOptions, Decision, TypeRules, decide, with_defaults
from dstream.plan.differences import MISSING, Difference, changed_names, differences, has_unknown_part
from dstream.plan.plan import Plan
from dstream.plan.policy_check import PolicyCheck
from dstream.plan.task_change import TaskChange

__all__ = [
    "MISSING",
    "Action",
    "Change",
    "DecideOptions",
    "Decision",
    "Difference",
    "Drift",
    "DriftKind",
    "OutputChange",
    "Plan",
    "PolicyCheck",
    "Reason",
    "TaskChange",
    "TypeRules",
    "changed_names",
    "decide",
    "differences",
    "has_unknown_part",
    "with_defaults",
]
