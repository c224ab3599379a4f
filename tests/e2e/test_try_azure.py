"""`python -m examples.try_azure`: the walk over the stand-ins, what its report shows, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.try_azure.__main__ import STAGES, chosen, finish, main, remove
from examples.try_azure.checks import Check, Different, Stage, costs, table
from examples.try_azure.report import Report
from examples.try_azure.resource_manager import ResourceManager
from examples.try_azure.trial import TAG, Trial
from tests.e2e.commands import dstream
from tests.services.azure.arm import ArmServer
from tests.services.azure.running import arm_server, service_bus
from tests.services.azure.subscription import SUBSCRIPTION, Subscription
from tests.services.azurite import KEY, azurite_server
from tests.services.mssql.flavours import AZURE
from tests.services.mssql.server import SqlServer

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "eyJhbGciOi.eyJhdWQiOi.signature"


def trial(address: str, folder: Path, **more: Any) -> Trial:
    manager = ResourceManager(address, lambda: TOKEN, wait=lambda _: None)
    return Trial(manager, SUBSCRIPTION, folder, Report(), say=lambda _: None, **more)


def forked(folder: Path, arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[int, str]:
    ended = dstream(folder, *arguments, env=variables)
    return ended.code, ended.said


@pytest.mark.timeout(400)
def test_the_walk_over_the_stand_ins_finds_what_was_modelled_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service_bus() as bus, azurite_server() as azurite, SqlServer(flavour=AZURE) as sql:
        for name, value in bus.environment.items():
            monkeypatch.setenv(name, value)
        with Subscription(bus, azurite, sql) as subscription:
            walked = trial(
                subscription.url,
                tmp_path,
                sql_options="Encrypt=no",
                sql_port=sql.port,
                wait=azurite.travel,
                command=forked,
            )
            code = finish(walked, STAGES, tmp_path / "report.json")
            report = json.loads((tmp_path / "report.json").read_text())
            wrong = [each for each in report["results"] if each["outcome"] != "ok"]
            assert (code, wrong) == (0, []), walked.report.text()
            assert [each["check"] for each in report["results"]] == [e.name for s in STAGES for e in s.checks]
            assert [name for _, name in subscription.model.groups] == ["test-group"], "that of the namespace's stand-in"
            assert not subscription.others
            password = sql.logins["dstream"].password
        shown = walked.report.text() + (tmp_path / "report.json").read_text()
        for secret in (KEY, password, SUBSCRIPTION, bus.namespace.keys["RootManageSharedAccessKey"], TOKEN):
            assert secret not in shown
        assert "203.0.113.7" not in shown


@pytest.fixture
def arm() -> Iterator[ArmServer]:
    with arm_server() as server:
        yield server


def stage(name: str, run: Any, prepare: Any = lambda _: None) -> Stage:
    return Stage(name, name, "free", prepare, (Check(f"{name}.one", "as it is", "a model", "https://x.example", run),))


def raising(problem: BaseException) -> Any:
    def run(_: Trial) -> None:
        raise problem

    return run


def test_failures_differences_and_interruptions_are_reported_and_cleaned_up(arm: ArmServer, tmp_path: Path) -> None:
    walked = trial(arm.url, tmp_path)
    found = "password=hunter22;AccountKey=abcd== for a@b.example at 198.51.100.3"
    stages = (
        STAGES[1],
        stage("a", raising(Different("modelled 1, found 2"))),
        stage("b", raising(ValueError(found))),
        stage("c", lambda _: None, raising(OSError("no quota"))),
        stage("d", raising(KeyboardInterrupt())),
        stage("e", lambda _: "never"),
    )
    assert finish(walked, stages, tmp_path / "report.json") == 1
    outcomes = [each.outcome for each in walked.report.results]
    assert outcomes == ["ok", "different", "failed", "failed", "skipped", "skipped"]
    assert arm.model.groups == {}
    text = walked.report.text()
    for hidden in ("hunter22", "abcd==", "a@b.example", "198.51.100.3"):
        assert hidden not in text
    for said in (
        "DIFFERENT    a.one: modelled 1, found 2",
        "no quota",
        "e.one: interrupted",
        "source:   https://x.example",
    ):
        assert said in text
    assert "Everything that was created is deleted." in text


def test_what_cannot_be_deleted_is_named(arm: ArmServer, tmp_path: Path) -> None:
    walked = trial(arm.url, tmp_path)
    arm.fault("DELETE .*", status=409, code="ScopeLocked")
    assert finish(walked, (STAGES[1],), tmp_path / "report.json") == 2
    assert f"LEFT BEHIND: {walked.group}: 409 ScopeLocked" in walked.report.text()
    assert json.loads((tmp_path / "report.json").read_text())["left"]


def test_a_group_that_was_given_stays_and_what_was_made_in_it_goes(arm: ArmServer, tmp_path: Path) -> None:
    arm.model.put_group(SUBSCRIPTION, "mine")
    walked = trial(arm.url, tmp_path, group="mine")
    path = "Microsoft.ServiceBus/namespaces/dstream-try-ns"
    made = stage("a", lambda one: one.create(path, "2021-11-01", {"sku": {"name": "Standard"}}) and None)
    arm.slow_namespaces = 2
    assert finish(walked, (STAGES[1], made, stage("b", raising(ValueError()))), tmp_path / "report.json") == 1
    assert arm.model.groups
    assert arm.model.namespaces == {}


def test_what_a_killed_run_left_can_be_removed_and_nothing_else(arm: ArmServer, tmp_path: Path) -> None:
    manager = ResourceManager(arm.url, lambda: TOKEN, wait=lambda _: None)
    killed = trial(arm.url, tmp_path)
    killed.make_group()
    arm.model.group(SUBSCRIPTION, killed.group)["tags"] = TAG
    arm.model.put_group(SUBSCRIPTION, "mine")
    assert remove(manager, SUBSCRIPTION, "mine") == 1
    assert remove(manager, SUBSCRIPTION, killed.group) == 0
    assert [name for _, name in arm.model.groups] == ["mine"]
    assert remove(manager, SUBSCRIPTION, killed.group) == 1


def test_a_stage_brings_those_that_it_needs() -> None:
    assert [each.name for each in chosen("pipeline")] == [each.name for each in STAGES]
    assert [each.name for each in chosen("storage")] == ["sign-in", "group", "storage"]
    with pytest.raises(ValueError, match="no stage 'sq'"):
        chosen("sq")


def test_the_page_shows_what_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "try-azure.md").read_text()
    assert table(STAGES) in page and costs(STAGES) in page, "renew it: python -m examples.try_azure --table"
    assert main(["--table"]) == 0
    assert table(STAGES) in capsys.readouterr().out
