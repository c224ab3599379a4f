"""python -m examples.try_azure: checks on a real Azure subscription what dstream relies on, and cleans up.

Sign in first (`az login`, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET). It creates a resource group,
prints a report that holds no secret, writes the same as JSON, and deletes the resource group. docs/try-azure.md says
what is checked, and what it costs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from examples.try_azure import pipeline, servicebus, sql, storage
from examples.try_azure.checks import Checks, Stage, costs, table
from examples.try_azure.report import Report
from examples.try_azure.resource_manager import AUDIENCE, Refused, ResourceManager
from examples.try_azure.trial import GROUPS, TAG, Trial

SUBSCRIPTIONS = "2022-12-01"
check = Checks("sign-in", "[`tests/services/azure/entra.py`](../tests/services/azure/entra.py)")


@check("token", "azure-identity gets a token for Resource Manager, and the subscription can be read",
       "python/api/azure-identity/azure.identity.defaultazurecredential")  # fmt: skip
def token(trial: Trial) -> str:
    """Read the subscription."""
    found = trial.manager.get(f"/subscriptions/{trial.subscription}", SUBSCRIPTIONS)
    return f"the subscription is {found.get('state', 'there')}"


group_check = Checks("group", "[`tests/services/azure/arm.py`](../tests/services/azure/arm.py)")


@group_check("created", "a resource group is created, and read again", "rest/api/resources/resource-groups")
def group(trial: Trial) -> None:
    """Read the group."""
    trial.manager.get(trial.group_path, GROUPS)


STAGES = (
    Stage("sign-in", "Signing in", "free", lambda _: None, tuple(check.all)),
    Stage("group", "A resource group for everything below", "free", Trial.make_group, tuple(group_check.all)),
    storage.STAGE,
    servicebus.STAGE,
    sql.STAGE,
    pipeline.STAGE,
)
NEEDED = {"pipeline": ("storage", "servicebus", "sql")}


def chosen(only: str) -> tuple[Stage, ...]:
    """Return the stages of a list of names, with those that they need. Raises ValueError."""
    names = {each for each in only.split(",") if each} or {each.name for each in STAGES}
    if unknown := sorted(names - {each.name for each in STAGES}):
        raise ValueError(f"no stage {unknown[0]!r}: {', '.join(each.name for each in STAGES[2:])}")
    for name in tuple(names):
        names.update(NEEDED.get(name, ()))
    return tuple(each for each in STAGES if each.name in names or each.name in ("sign-in", "group"))


def main(arguments: list[str] | None = None) -> int:
    """Run the stages; the exit code is 1 if something is not as modelled, 2 if something is left behind."""
    given = _options().parse_args(arguments)
    if given.table:
        print(f"{costs(STAGES)}\n\n{table(STAGES)}")
        return 0
    try:
        stages = chosen(given.only)
        manager = ResourceManager(AUDIENCE, _token())
        subscription = given.subscription or _only_subscription(manager)
    except (ValueError, Refused, OSError) as problem:
        print(Report().clean(str(problem)), file=sys.stderr)
        return 1
    if given.remove:
        return remove(manager, subscription, given.remove)
    print("This creates resources in your subscription, and deletes them at the end:\n")
    print("\n".join(f"  {each.title}: {each.cost}" for each in stages))
    if not given.yes and input("\nDo you want to go on? Only 'yes' will be accepted: ").strip() != "yes":
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="dstream-try-") as folder:
        trial = Trial(manager, subscription, Path(folder), report, group=given.resource_group, location=given.location)
        print(f"\nEverything is in the resource group {trial.group}.")
        return finish(trial, stages, Path(given.json))


def finish(trial: Trial, stages: tuple[Stage, ...], path: Path) -> int:
    """Walk, write the report, and return the exit code."""
    report = trial.report
    try:
        trial.walk(stages)
    finally:
        path.write_text(report.json() + "\n")
        trial.say(f"\n--- report, also in {path.name} as JSON: paste it into an issue ---\n\n{report.text()}")
    if report.left:
        return 2
    return 1 if report.count("different") or report.count("failed") or report.count("skipped") else 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m examples.try_azure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--subscription", default=os.environ.get("AZURE_SUBSCRIPTION_ID", ""), metavar="ID")
    options.add_argument("--resource-group", default="", metavar="NAME", help="use this one, and leave it")
    options.add_argument("--location", default="westeurope", help="region (westeurope)")
    options.add_argument("--only", default="", metavar="STAGES", help="storage,servicebus,sql,pipeline (all)")
    options.add_argument("--json", default="try-azure.json", metavar="FILE", help="where the report goes, as JSON")
    options.add_argument("--yes", action="store_true", help="do not ask")
    options.add_argument(
        "--remove", default="", metavar="GROUP", help="delete what a killed run left, and nothing else"
    )
    options.add_argument("--table", action="store_true", help="print what is checked, for the documentation")
    return options


def _token() -> Any:
    from azure.identity import DefaultAzureCredential

    credential = DefaultAzureCredential()

    def get() -> str:
        from azure.core.exceptions import ClientAuthenticationError

        from dstream_state.azure.sign_in_errors import condensed

        try:
            return credential.get_token(f"{AUDIENCE}/.default").token
        except ClientAuthenticationError as problem:
            raise ValueError(f"Sign in first: {condensed(str(problem.message))}") from None

    return get


def _only_subscription(manager: ResourceManager) -> str:
    found = [each["subscriptionId"] for each in manager.get("/subscriptions", SUBSCRIPTIONS)["value"]]
    if len(found) != 1:
        raise ValueError(
            f"There are {len(found)} subscriptions. Name one: --subscription ID, or AZURE_SUBSCRIPTION_ID."
        )
    return str(found[0])


def remove(manager: ResourceManager, subscription: str, name: str) -> int:
    """Delete a resource group that this script created; return the exit code."""
    path = f"/subscriptions/{subscription}/resourceGroups/{name}"
    try:
        tags = manager.get(path, GROUPS).get("tags") or {}
        if any(tags.get(key) != value for key, value in TAG.items()):
            print(f"{name} was not created by this script (it lacks the tag {TAG}). Nothing was deleted.")
            return 1
        manager.delete(path, GROUPS)
    except Refused as problem:
        print(Report().clean(str(problem)), file=sys.stderr)
        return 1
    print(f"{name} is deleted.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
