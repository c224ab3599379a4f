"""Policies: holds a plan against the `policy` blocks of the configuration and of the machine.

Those of the machine hold always: no configuration can weaken them, and they see nothing of it but the plan. What a
policy does not allow is an error of the plan, or a warning if the policy is advisory. A condition that cannot be
evaluated, or that is unknown, counts as not met.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from dstream.config import Condition, PolicyBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity, error, warning
from dstream.engine.setup.machine_policies import machine_policies
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope, Surroundings, Unknown, evaluate, failure
from dstream.lang.values import unwrap
from dstream.plan import Plan, PolicyCheck


def with_policies(operation: Operation, plan: Plan) -> Plan:
    """Return a plan with what the policies say of it; raise DiagnosticsError if one of the machine is invalid."""
    layers = [
        *((policies, Scope(surroundings=Surroundings(root=folder))) for folder, policies in machine_policies()),
        (operation.config.policies, operation.module.scope(resources=lambda _root: {})),
    ]
    checks: list[PolicyCheck] = []
    found: list[Diagnostic] = []
    for policies, scope in layers:
        for policy in policies:
            problems = list(_violations(policy, plan, scope))
            checks.append(PolicyCheck(policy.name, policy.advisory, not problems))
            found += problems
    return replace(plan, diagnostics=(*plan.diagnostics, *found), policies=tuple(checks)) if checks else plan


def refuse_violations(plan: Plan) -> None:
    """Raise DiagnosticsError if a policy does not allow the plan."""
    if not plan.allowed:
        raise DiagnosticsError([each for each in plan.diagnostics if (each.address or "").startswith("policy.")])


def _violations(policy: PolicyBlock, plan: Plan, scope: Scope) -> Iterator[Diagnostic]:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from dstream.engine.plan.policy_values import plan_values

    address = f"policy.{policy.name}"
    try:
        now = datetime.now(ZoneInfo(policy.time_zone) if policy.time_zone else UTC)
    except (KeyError, ValueError, OSError):  # not found, not a name, a folder
        detail = f"This machine does not know the time zone {policy.time_zone}. An example: Europe/Berlin."
        yield _enforced(policy, error("Unknown time zone", detail, policy.range, address=address))
        return
    scope = scope.bind({"plan": plan_values(plan, now)})
    for problem in _unmet(policy.requires, scope):
        yield _enforced(policy, replace(problem, address=address))


def _unmet(conditions: Sequence[Condition], scope: Scope) -> Iterator[Diagnostic]:
    for condition in conditions:
        try:
            if isinstance(unwrap(evaluate(condition.condition, scope)), Unknown):
                detail = (
                    "The condition depends on a value that is known only after apply, so it cannot be held before. "
                    "Apply what the value comes from first, with -target, or use a condition without it."
                )
                yield error("Policy undecided", detail, condition.condition.range)
                continue
            message = failure(condition, scope)
        except DiagnosticsError as problem:
            yield from problem.diagnostics
            continue
        if message is not None:
            yield error("Policy violation", message, condition.condition.range)


def _enforced(policy: PolicyBlock, problem: Diagnostic) -> Diagnostic:
    if policy.advisory and problem.severity is Severity.ERROR:
        return warning(problem.summary, problem.detail, problem.subject, address=problem.address)
    return problem
