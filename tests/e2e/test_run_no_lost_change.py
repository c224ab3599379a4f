"""No change is lost and order per key holds, whoever is killed and whenever; and the tests notice when it is not so."""

import json
import random

import pytest

from tests.e2e.run_parts.rig import Rig
from tests.events import PATIENCE, until

FAULTS = ["after_sink_before_ack", "after_ack_before_store", "after_store_before_commit", "mid_line", "mid_transaction"]
PACED = {"pause": 0.005}
IN_STEP = {"ahead": 3}
"""Of 20 checkpoints, each acknowledgement covers 3 at most, however busy the machine is: every fault point is passed
more than 4 times."""


def hit(rig: Rig, fault: str, times: int) -> None:
    """Have somebody die at the first, second ... passage of `fault`, each time with more changes to come."""
    for passage in range(1, times + 1):
        rig.spec["input"]["config"]["total"] = rig.total = passage * 200
        outcome = rig.run(f"{fault}:{1 + passage % 4}")
        assert outcome is None or "restarting" in outcome["log"], "the fault was never hit"
    rig.run_to_the_end()


@pytest.mark.parametrize("stores", [False, True], ids=["host-stores", "sink-stores"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_change_is_lost_at_a_fault_point(tmp_path, fault, stores):
    rig = Rig(tmp_path, stores=stores, source=IN_STEP)
    hit(rig, fault, 2)
    assert rig.check() == []


@pytest.mark.parametrize(
    "fault",
    ["mid_line", "after_sink_before_ack", *(pytest.param(each, marks=pytest.mark.soak) for each in FAULTS[1:3])],
)
def test_no_change_is_lost_at_a_fault_point_of_forked_providers(tmp_path, fault):
    rig = Rig(tmp_path, source=IN_STEP, forks=True)
    hit(rig, fault, 1)
    assert rig.check() == []


@pytest.mark.soak
@pytest.mark.parametrize("stores", [False, True], ids=["host-stores", "sink-stores"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_change_is_lost_at_a_fault_point_ten_times(tmp_path, fault, stores):
    rig = Rig(tmp_path, stores=stores, source=IN_STEP)
    hit(rig, fault, 10)
    assert rig.check() == []


def random_kills(rig: Rig, kills: int, seed: int) -> dict[str, int]:
    dice = random.Random(seed)
    victims: dict[str, int] = {}
    host = rig.start()
    for _ in range(kills):
        until(lambda host=host: len(rig.processes()) == 2 or host.poll() is not None, "both providers")
        size = rig.written() + dice.randrange(8_000)
        until(lambda host=host, size=size: rig.written() > size or host.poll() is not None, "more in the sink")
        before = rig.processes()
        victim = rig.kill_one(host, dice)
        victims[victim] = victims.get(victim, 0) + 1
        if victim == "host":
            host.communicate(timeout=PATIENCE)
        if host.poll() is not None:
            host.communicate()
            host = rig.start()
        else:
            until(
                lambda host=host, before=before: rig.processes() != before or host.poll() is not None, "a victim's end"
            )
    host.terminate()
    host.communicate(timeout=PATIENCE)
    return victims


@pytest.mark.parametrize("stores", [False, True], ids=["host-stores", "sink-stores"])
def test_no_change_is_lost_when_processes_are_killed_at_random(tmp_path, stores):
    rig = Rig(tmp_path, total=20_000, stores=stores, source={"pause": 0.002, "linger": True}, options={"attempts": 50})
    random_kills(rig, 6, seed=11)
    rig.spec["input"]["config"] |= {"pause": 0, "linger": False}
    rig.run_to_the_end()
    assert rig.check() == []


@pytest.mark.soak
@pytest.mark.parametrize("stores", [False, True], ids=["host-stores", "sink-stores"])
def test_no_change_is_lost_in_fifty_random_kills(tmp_path, stores):
    rig = Rig(tmp_path, total=300_000, stores=stores, source={"pause": 0.002, "linger": True}, options={"attempts": 50})
    victims = random_kills(rig, 50, seed=12)
    assert {"host", "input", "output"} <= victims.keys()
    rig.spec["input"]["config"] |= {"pause": 0, "linger": False}
    rig.run_to_the_end()
    assert rig.check() == []


def test_nothing_is_lost_or_left_running_when_the_host_is_killed_while_the_input_idles(tmp_path):
    rig = Rig(tmp_path, total=50, source={"linger": True})
    host = rig.start()
    until(lambda: rig.slot.exists() and rig.slot.read_text() == "50", "all changes")
    pids = rig.processes()
    assert len(pids) == 2
    host.kill()
    host.communicate(timeout=PATIENCE)
    until(lambda: not rig.processes(), "the providers to be gone")
    rig.spec["input"]["config"] |= {"total": 80, "linger": False}
    rig.total = 80
    rig.run_to_the_end()
    assert rig.check() == []


def test_a_host_that_loses_its_lease_kills_its_providers_and_moves_nothing_more(tmp_path):
    rig = Rig(tmp_path, total=50_000, source={"pause": 0.002})
    rig.spec["lease_ends_after"] = 20
    outcome = rig.run()
    assert outcome is not None
    assert outcome["status"] == "lost", outcome
    assert rig.processes() == []


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_no_change_is_lost_when_the_host_dies_while_it_loses_its_lease(tmp_path, times):
    rig = Rig(tmp_path, total=50_000, source={"pause": 0.002})
    for turn in range(times):
        rig.spec["lease_ends_after"] = 10 + turn
        assert rig.run("during_lease_loss") is None
        until(lambda: not rig.processes(), "the providers to be gone")
    del rig.spec["lease_ends_after"]
    rig.spec["input"]["config"]["pause"] = 0
    rig.run_to_the_end()
    assert rig.check() == []


# -- mutants: each must be noticed ---------------------------------------------------------------------------------


def test_storing_before_the_acknowledgement_is_noticed(tmp_path):
    held = tmp_path / "held"
    held.touch()
    rig = Rig(tmp_path, total=400, mutant="store_first", source=PACED, sink={"held": str(held)})
    host = rig.start()
    until(lambda: rig.slot.exists(), "the first commit")
    host.kill()
    host.communicate()
    until(lambda: not rig.processes(), "the sink to be gone, which has written nothing")
    held.unlink()
    rig.run_to_the_end()
    assert any("lost" in problem for problem in rig.check())


def test_committing_before_storing_is_noticed(tmp_path):
    rig = Rig(tmp_path, total=400, mutant="commit_first", source=PACED)
    host = rig.start()
    until(lambda: rig.slot.exists(), "the first commit")
    host.kill()  # between a commit and its store, where the mutant waits
    host.communicate()
    outcome = rig.run()
    assert outcome is not None
    assert outcome["status"] != "ended"
    assert "has let go up to" in str(outcome["details"])


def test_restarting_the_input_alone_is_noticed(tmp_path):
    rig = Rig(tmp_path, total=400, mutant="input_alone", source=PACED, sink={"delay": 0.2})
    rig.run("mid_transaction:3")
    assert any("after" in problem for problem in rig.check())


def test_keeping_data_at_an_end_that_was_none_is_noticed(tmp_path):
    rig = Rig(tmp_path, total=400, stores=True, source=PACED, sink={"keeps": True})
    rig.run("mid_transaction:3")
    rig.run_to_the_end()
    assert any("repeated" in problem for problem in rig.check())


def test_a_run_that_is_killed_by_nobody_moves_each_change_once(tmp_path):
    rig = Rig(tmp_path, total=300)
    outcome = rig.run_to_the_end()
    assert rig.check() == []
    records = [line for line in rig.file.read_text().splitlines() if line.startswith("R")]
    assert len(records) == 300 == outcome["records"], json.dumps(outcome)
