"""How a flow ends and is stopped, and from where the next run continues."""

import json
import os
import threading

import pytest
from msgspec.structs import replace

from dstream.run import RunOptions, Stop, run_flows
from dstream_state import Checkpoint, StateLocked, open_backend
from dstream_state.processes import alive
from tests.e2e.run_parts.bench import detail, moving
from tests.e2e.run_parts.rig import Rig, provider
from tests.events import PATIENCE, until


def test_a_second_run_goes_on_behind_the_checkpoint(bench, tmp_path):
    assert bench.run(moving(bench, tmp_path)).status == "ended"
    outcome = bench.run(moving(bench, tmp_path, total=150))
    assert bench.notes.started == [None, {"source": "sequence", "number": 100}]
    assert outcome.checkpoint == {"source": "sequence", "number": 150}
    assert bench.numbers() == list(range(1, 151))


def test_a_graceful_stop_stores_the_last_checkpoint_and_repeats_nothing(bench, tmp_path):
    stop = Stop()
    bench.notes.soon = [(1.0, stop.request)]
    outcome = bench.run(moving(bench, tmp_path, total=1_000_000, pause=0.005), stop)
    assert outcome.status == "stopped"
    assert outcome.diagnostics == ()
    last = bench.numbers()[-1]
    assert bench.store.read().checkpoint.position["number"] == last
    assert bench.run(moving(bench, tmp_path, total=last + 10)).status == "ended"
    assert bench.numbers() == list(range(1, last + 11))


def test_the_second_request_ends_at_once(bench, tmp_path):
    source = bench.python(
        "in",
        'say(\'{"status":"ready"}\')\nimport signal\nsignal.signal(15, lambda *_: None)\nwhile True: time.sleep(1)',
    )
    stop = Stop()
    bench.notes.soon = [(0.1, stop.request), (0.4, stop.request)]
    outcome = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}), stop, grace=3600)
    assert outcome.status == "stopped"


def test_an_input_that_ignores_the_stop_is_killed_after_the_grace_period(bench):
    source = bench.python(
        "in",
        'say(\'{"status":"ready"}\')\nimport signal\nsignal.signal(15, lambda *_: None)\nwhile True: time.sleep(1)',
    )
    stop = Stop()
    bench.notes.soon = [(0.1, stop.request)]
    outcome = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}), stop, grace=0.5)
    assert outcome.status == "stopped"
    assert bench.notes.problems == ["Graceful stop timeout"]


def test_a_signal_stops_gracefully(tmp_path):
    rig = Rig(tmp_path, total=1_000_000, source={"pause": 0.005})
    host = rig.start()
    until(lambda: rig.slot.exists(), "the first commit")
    host.terminate()
    out, _ = host.communicate(timeout=PATIENCE)
    assert json.loads(out)["status"] == "stopped"
    assert rig.processes() == []


def test_max_records_ends_at_the_next_consistent_point(bench, tmp_path):
    outcome = bench.run(moving(bench, tmp_path, total=1_000_000, pause=0.001), max_records=25)
    assert outcome.status == "ended"
    assert bench.numbers() == list(range(1, 31))


def test_records_and_bytes_are_reported(bench, tmp_path):
    bench.run(moving(bench, tmp_path, total=3000, pause=0.005))
    assert bench.notes.reports
    assert any(report.records_per_second > 0 and report.bytes_per_second > 0 for report in bench.notes.reports)


def test_several_flows_run_at_the_same_time_and_fail_alone(bench, tmp_path):
    good = moving(bench, tmp_path)
    bad = bench.flow(bench.shell("in", "exit 1"), bench.shell("out", "cat >/dev/null"))
    backend = open_backend("memory", {"name": str(tmp_path / "two")}, root=tmp_path)
    outcomes = run_flows([(good, backend.task("a")), (bad, backend.task("b"))], RunOptions(), bench.notes, Stop())
    assert [outcome.status for outcome in outcomes] == ["ended", "failed"]


def test_a_task_has_one_runner(bench, tmp_path):
    with bench.store.acquire("run"), pytest.raises(StateLocked):
        bench.run(moving(bench, tmp_path))


def test_a_checkpoint_of_an_object_made_anew_is_refused(bench, tmp_path):

    from dstream.diagnostics import DiagnosticsError

    flow = replace(moving(bench, tmp_path), objects={"slot": "made at 1"})
    assert bench.run(flow).status == "ended"
    with pytest.raises(DiagnosticsError) as problem:
        bench.run(replace(flow, objects={"slot": "made at 2"}))
    assert "dstream checkpoint reset t" in problem.value.diagnostics[0].detail


def test_an_input_that_takes_its_time_to_exit_after_the_end_is_waited_for(bench):
    source = bench.python("in", 'say(\'{"status":"ready"}\'); say(\'{"end":true}\'); time.sleep(1)')
    outcome = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}))
    assert outcome.status == "ended", detail(outcome)
    assert outcome.sessions == 1


def test_acknowledgements_that_are_never_read_block_nobody(bench, tmp_path):
    flow = bench.flow(bench.sequence, bench.ledger, {"total": 20_000, "every": 1, "slot": str(tmp_path / "slot")},
                      {"path": str(bench.got)})  # fmt: skip
    outcome = bench.run(flow)
    assert outcome.status == "ended", detail(outcome)
    assert bench.numbers() == list(range(1, 20_001))


def test_an_output_that_stores_the_checkpoint_decides_where_to_start(bench, tmp_path):
    ledger = provider("ledger_out", bench.folder, STORES="1")
    config = {"total": 30, "slot": str(tmp_path / "slot")}
    flow = bench.flow(bench.sequence, ledger, config, {"path": str(bench.got)})
    assert flow.delivery.startswith("at least once, effectively once")
    assert bench.run(flow).status == "ended"
    with bench.store.acquire("test") as lease:
        lease.store(Checkpoint({"number": 5}, "t"))
    (tmp_path / "slot").unlink(missing_ok=True)
    more = bench.flow(bench.sequence, ledger, {**config, "total": 40}, {"path": str(bench.got)})
    assert bench.run(more).status == "ended"
    assert bench.numbers() == list(range(1, 41))


def test_leftovers_of_a_killed_host_are_ended_first(tmp_path):
    rig = Rig(tmp_path, total=50, source={"linger": True})
    host = rig.start()
    until(lambda: len(rig.processes()) == 2, "both providers")
    view = open_backend("local", {}, root=tmp_path).task("t").read()
    assert all(alive(each.pid, each.started) for each in view.processes)
    os.kill(host.pid, 9)
    host.communicate()
    rig.spec["input"]["config"] |= {"linger": False}
    rig.run_to_the_end()
    assert rig.check() == []
    assert not any(alive(each.pid, each.started) for each in view.processes)


def test_waiting_for_another_runner_ends_when_a_stop_is_asked_for(bench, tmp_path):
    stop = Stop()
    threading.Timer(0.5, stop.request).start()
    with bench.store.acquire("run"), pytest.raises(StateLocked):
        bench.run(moving(bench, tmp_path), stop, lock_timeout=3600)
