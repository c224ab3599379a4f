"""Flows as they are run: version 1 and 2, ends and stops, limits, refusals, and what is said when something fails."""

import json
import os
import sys
import threading
import time
from dataclasses import replace

import pytest

from dstream.plugins import ProviderSource, probe, resolve
from dstream.run import Endpoint, Flow, RunOptions, Silent, Stop, run_flow, run_flows
from dstream_state import Checkpoint, StateLocked, open_backend
from dstream_state.processes import alive
from tests.e2e.run_parts.rig import Rig, provider
from tests.events import PATIENCE, until

PYTHON = """#!/bin/sh
exec '{python}' -S '{script}'
"""
PROBED = """
import json, os, sys, time
if os.environ.get("DSTREAM_PROBE"):
    print(json.dumps({"protocol": 2, "provider": {"name": "p", "version": "1"}, "roles": ["input", "output"],
                      "capabilities": ["checkpoint"]}))
    sys.exit()
def say(line):
    sys.stdout.write(line + "\\n"); sys.stdout.flush()
opening = json.loads(sys.stdin.readline())
"""


class Notes(Silent):
    """Keeps what is reported."""

    def __init__(self):
        self.texts, self.logs, self.problems, self.restarts, self.started, self.reports = [], [], [], [], [], []
        self.soon = []

    def text(self, flow, line):
        self.texts.append(line)

    def log(self, flow, side, line):
        self.logs.append((side, line))

    def problem(self, flow, diagnostic):
        self.problems.append(diagnostic.summary)

    def restarting(self, flow, diagnostics, delay, attempt):
        self.restarts.append((diagnostics[0].summary, delay, attempt))

    def session_started(self, flow, number, checkpoint):
        self.started.append(checkpoint)
        for seconds, action in self.soon:
            threading.Timer(seconds, action).start()

    def progress(self, flow, progress):
        self.reports.append(progress)


class Bench:
    """A folder to write providers in, a store, and one flow at a time."""

    def __init__(self, folder):
        self.folder = folder
        self.notes = Notes()
        self.store = open_backend("memory", {}, root=folder).task("t")
        self.got = folder / "got"

    def shell(self, name, body):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(0o755)
        return str(path)

    def python(self, name, body, head=PROBED):
        script = self.folder / f"{name}.py"
        script.write_text(head + body)
        return self.shell(name, PYTHON.format(python=sys.executable, script=script).split("\n", 1)[1])

    def flow(self, source, sink, source_config=None, sink_config=None, secrets=()):
        return Flow("t", "t", self.endpoint(source, "input", source_config, secrets),
                    self.endpoint(sink, "output", sink_config, secrets))  # fmt: skip

    def endpoint(self, path, role, config=None, secrets=()):
        kind = "path" if "/" in path else "name"
        binary = resolve(ProviderSource(kind, path), self.folder, role)
        return Endpoint(binary, probe(binary), config or {}, secrets)

    def run(self, flow, stop=None, **options):
        usual = {"first_delay": 0.02, "store_interval": 0.0, "idle_seconds": 0.5, "start_timeout": 20}
        return run_flow(flow, self.store, RunOptions(**{**usual, **options}), self.notes, stop)

    @property
    def sequence(self):
        return provider("sequence_in", self.folder)

    @property
    def ledger(self):
        return provider("ledger_out", self.folder)

    def numbers(self):
        return [int(line.split()[2]) for line in self.got.read_text().splitlines() if line.startswith("R")]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def detail(outcome):
    return "\n".join(f"{each.summary}: {each.detail}" for each in outcome.diagnostics)


# -- version 1 -----------------------------------------------------------------------------------------------------

SINK = 'read -r opening; echo "$opening" >"$0.opening"; cat >"$0.got"'


def test_a_pair_of_shell_scripts_moves_data_that_is_not_confirmed(bench, tmp_path):
    source = bench.shell(
        "in",
        """read -r opening; cat >"$0.rest"
echo '{"data":{"a":1},"metadata":{}}'; echo '{"data":{"a":2},"metadata":{}}'""",
    )
    sink = bench.shell("out", SINK + '; echo "wrote it"')
    flow = bench.flow(source, sink, {"tables": ["T"]}, {"to": "file"})
    outcome = bench.run(flow)
    assert outcome.status == "ended", detail(outcome)
    assert flow.delivery == "delivery not confirmed"
    assert (tmp_path / "out.opening").read_text() == '{"command":"run","config":{"to":"file"}}\n'
    assert (tmp_path / "in.rest").read_text() == "", "the standard input of a version 1 input is closed"
    assert (tmp_path / "out.got").read_text().count('"a"') == 2
    assert outcome.totals.records == 2
    assert bench.notes.texts == ["wrote it"]


@pytest.mark.parametrize(
    "answer", ['{"status":"ready"}', '{"Status":"READY"}', '\\357\\273\\277{"status":"ready"}\\r', None],
    ids=["ready", "cased", "bom", "silent"],
)  # fmt: skip
def test_an_answer_is_not_data_and_silence_is_no_error(bench, tmp_path, answer):
    says = f"printf '{answer}\\n'; " if answer else ""
    source = bench.shell("in", f"""cat >/dev/null; {says}echo '{{"data":{{}}}}'""")
    sink = bench.shell("out", f"{says}{SINK}")
    assert bench.run(bench.flow(source, sink)).status == "ended"
    assert (tmp_path / "out.got").read_text() == '{"data":{}}\n'
    assert bench.notes.texts == []


@pytest.mark.parametrize("side", ["in", "out"])
def test_an_error_in_place_of_ready_ends_the_task(bench, side):
    error = """echo '{"Status":"Error","Message":"no such table, password hunter2"}'"""
    source = bench.shell("in", f"cat >/dev/null; {error if side == 'in' else ''}; sleep 0.3")
    sink = bench.shell("out", f"{error if side == 'out' else ''}\ncat >/dev/null")
    outcome = bench.run(bench.flow(source, sink, secrets=("hunter2",)))
    assert outcome.status == "failed"
    assert "no such table, password (sensitive value)" in detail(outcome)
    assert bench.notes.restarts == []


def test_an_exit_of_a_version_1_input_ends_the_task_and_what_came_is_delivered(bench, tmp_path):
    source = bench.shell("in", """cat >/dev/null; echo '{"data":{}}'; printf '{"data":'; echo broken >&2; exit 3""")
    outcome = bench.run(bench.flow(source, bench.shell("out", SINK)))
    assert outcome.status == "failed"
    assert "ended with exit code 3" in detail(outcome)
    assert "broken" in detail(outcome)
    assert (tmp_path / "out.got").read_text() == '{"data":{}}\n'
    assert "Unfinished line dropped" in bench.notes.problems


def test_an_exit_of_a_version_1_output_ends_the_task(bench):
    source = bench.shell("in", """cat >/dev/null; while :; do echo '{"data":{}}'; sleep 0.01; done""")
    outcome = bench.run(bench.flow(source, bench.shell("out", "echo 'disk full' >&2; exit 4")))
    assert outcome.status == "failed"
    assert "ended with exit code 4" in detail(outcome)
    assert "disk full" in detail(outcome)


def test_until_idle_of_a_version_1_input_means_silence(bench, tmp_path):
    source = bench.shell("in", """cat >/dev/null; echo '{"data":{}}'; sleep 1000""")
    outcome = bench.run(bench.flow(source, bench.shell("out", SINK)), until_idle=True)
    assert outcome.status == "ended", detail(outcome)
    assert (tmp_path / "out.got").read_text() == '{"data":{}}\n'


def test_max_records_cuts_a_version_1_input_exactly(bench, tmp_path):
    source = bench.shell("in", """cat >/dev/null; while :; do echo '{"data":{}}'; done""")
    outcome = bench.run(bench.flow(source, bench.shell("out", SINK)), max_records=1234)
    assert outcome.status == "ended", detail(outcome)
    assert (tmp_path / "out.got").read_text() == '{"data":{}}\n' * 1234


def test_a_version_1_input_can_feed_a_version_2_output(bench):
    source = bench.shell(
        "in",
        """cat >/dev/null
for n in 1 2 3; do echo "{\\"data\\":{\\"number\\":$n},\\"metadata\\":{\\"Key\\":{\\"key\\":1}}}"; done""",
    )
    outcome = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}))
    assert outcome.status == "ended", detail(outcome)
    assert bench.numbers() == [1, 2, 3]


def test_a_version_2_input_can_feed_a_version_1_output(bench, tmp_path):
    slot = str(tmp_path / "slot")
    outcome = bench.run(bench.flow(bench.sequence, bench.shell("out", SINK), {"total": 20, "slot": slot}))
    assert outcome.status == "ended", detail(outcome)
    lines = [json.loads(line) for line in (tmp_path / "out.got").read_text().splitlines()]
    assert [line["data"]["number"] for line in lines] == list(range(1, 21))


# -- ends and stops ------------------------------------------------------------------------------------------------


def moving(bench, tmp_path, **source):
    config = {"total": 100, "slot": str(tmp_path / "slot"), **source}
    return bench.flow(bench.sequence, bench.ledger, config, {"path": str(bench.got)})


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
    started = time.monotonic()
    outcome = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}), stop)
    assert outcome.status == "stopped"
    assert time.monotonic() - started < 10


def test_an_input_that_ignores_the_stop_is_killed_after_the_grace_period(bench):
    source = bench.python(
        "in",
        'say(\'{"status":"ready"}\')\nimport signal\nsignal.signal(15, lambda *_: None)\nwhile True: time.sleep(1)',
    )
    stop = Stop()
    bench.notes.soon = [(0.1, stop.request)]
    outcome = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}), stop, grace=0.5)
    assert outcome.status == "stopped"
    assert bench.notes.problems == ["Graceful stop timed out"]


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
    from dataclasses import replace

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


# -- refusals, poison, restarts ------------------------------------------------------------------------------------


def test_refused_envelopes_are_kept_as_dead_letters(bench, tmp_path):
    flow = bench.flow(bench.sequence, bench.ledger, {"total": 50, "slot": str(tmp_path / "slot")},
                      {"path": str(bench.got), "refuse": 10})  # fmt: skip
    outcome = bench.run(flow)
    assert outcome.status == "ended"
    assert outcome.totals.dead_letters == 5
    letters = [bench.store.dead_letters.read(key) for key in bench.store.dead_letters.list()]
    assert sorted(json.loads(letter.envelope)["data"]["number"] for letter in letters) == [10, 20, 30, 40, 50]
    assert {letter.reason for letter in letters} == {"refused by the test"}


def poisoned(bench, tmp_path):
    return bench.flow(bench.sequence, bench.ledger, {"total": 40, "every": 1, "slot": str(tmp_path / "slot")},
                      {"path": str(bench.got), "break_at": 21})  # fmt: skip


def test_a_record_that_breaks_the_output_blocks_the_task_with_advice(bench, tmp_path):
    outcome = bench.run(poisoned(bench, tmp_path))
    assert outcome.status == "blocked"
    assert "-skip-records 1" in detail(outcome)
    assert "cannot be written" in detail(outcome)
    assert outcome.checkpoint["number"] == 20, "the checkpoint ends right before the record"
    assert len(bench.notes.restarts) >= 2


def test_skipped_records_become_dead_letters_and_the_rest_goes_on(bench, tmp_path):
    blocked = bench.run(poisoned(bench, tmp_path))
    assert blocked.checkpoint["number"] == 20
    outcome = bench.run(poisoned(bench, tmp_path), skip_records=1)
    assert outcome.status == "ended", detail(outcome)
    letters = [bench.store.dead_letters.read(key) for key in bench.store.dead_letters.list()]
    skipped = sorted(json.loads(letter.envelope)["data"]["number"] for letter in letters)
    assert skipped == [21]
    assert set(bench.numbers()) == set(range(1, 41)) - {21}


def test_only_progress_counts(bench, tmp_path):
    """Ten deaths with progress in between do not block the task."""
    source = bench.python(
        "in",
        """
say('{"status":"ready"}')
start = (opening["checkpoint"] or {"number": 0})["number"]
for n in range(start + 1, start + 4):
    say('{"data":{"number":%d},"metadata":{"Key":{"key":1}}}' % n)
    say('{"checkpoint":{"number":%d},"n":%d}' % (n, n - start))
if start >= 30:
    say('{"end":true}')
    sys.exit()
while True:
    line = sys.stdin.readline()
    if not line: sys.exit()
    if json.loads(line)["committed"]["checkpoint"]["number"] == start + 3: sys.exit(1)
""",
    )
    outcome = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}))
    assert outcome.status == "ended", detail(outcome)
    assert outcome.sessions == 11
    assert {delay for _, delay, _ in bench.notes.restarts} == {0.02}
    assert bench.numbers() == list(range(1, 34))


@pytest.mark.parametrize(
    ("body", "says", "sessions"),
    [
        ("sys.exit(7)", "ended with exit code 7", 3),
        ("os.write(1, b'{\"status\":\"re'); sys.exit(1)", "in the middle of a line", 3),
        ("say('Welcome!'); time.sleep(100)", "'Welcome!'", 1),
        ("time.sleep(100)", "not ready within 1 s", 3),
        ("say('{\"status\":\"error\",\"diagnostics\":[{\"summary\":\"No\",\"detail\":\"hunter2\",\"class\":\"invalid\"}]}')",
         "No: (sensitive value)", 1),
        ("say('{\"status\":\"ready\"}'); say('{\"checkpoint\":{},\"n\":2}'); time.sleep(9)",
         "numbered a checkpoint", 1),
    ],
    ids=["dies", "half-a-line", "garbage", "hangs", "refuses", "miscounts"],
)  # fmt: skip
@pytest.mark.parametrize("side", ["input", "output"])
def test_what_a_provider_does_wrong_is_said_clearly(bench, side, body, says, sessions):
    if side == "output" and "checkpoint" in body:
        body = body.replace('"n\\":2', '"n\\":9')
        says = "never sent"
    bad = bench.python("bad", "sys.stderr.write('a hint, and hunter2\\n'); sys.stderr.flush()\n" + body)
    good = bench.python("good", 'say(\'{"status":"ready"}\')\nsys.stdin.read()')
    flow = bench.flow(*((bad, good) if side == "input" else (good, bad)), secrets=("hunter2",))
    outcome = bench.run(flow, start_timeout=1 if "not ready" in says else 60)
    assert outcome.status == ("failed" if sessions == 1 else "blocked"), detail(outcome)
    assert outcome.sessions == sessions
    text = detail(outcome)
    assert says in text
    assert "hunter2" not in text
    assert "hunter2" not in str(bench.notes.logs)
    if "class" not in body:
        assert "a hint" in text


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("error_class", ["invalid", "conflict", "denied"])
def test_an_error_that_another_session_would_meet_again_ends_the_run_at_once(bench, side, error_class):
    flow = bench.flow(*breaking(bench, side, error_class), secrets=("hunter2",))
    outcome = bench.run(flow)
    assert (outcome.status, outcome.sessions, bench.notes.restarts) == ("failed", 1, []), detail(outcome)
    assert "No such queue: it was deleted by (sensitive value)" in detail(outcome)


@pytest.mark.parametrize("side", ["input", "output"])
def test_what_is_fatal_may_be_the_next_record_so_the_task_is_blocked_before_it(bench, side):
    outcome = bench.run(bench.flow(*breaking(bench, side, "fatal")))
    assert (outcome.status, outcome.sessions) == ("blocked", 3)
    assert "it was deleted" in detail(outcome)
    assert "-skip-records" in detail(outcome)


@pytest.mark.parametrize("side", ["input", "output"])
def test_what_may_pass_while_data_flows_is_tried_again_without_end(bench, side):
    outcome = bench.run(bench.flow(*breaking(bench, side, "retriable", times=5)), longest_delay=0.1)
    assert outcome.status == "ended", detail(outcome)
    assert len(bench.notes.restarts) == 5
    assert "No such queue" in str(bench.notes.restarts)


def test_a_provider_says_how_long_to_wait_at_least(bench):
    outcome = bench.run(bench.flow(*breaking(bench, "output", "retriable", times=2, retry_after=0.3)))
    assert outcome.status == "ended", detail(outcome)
    assert [delay for _, delay, _ in bench.notes.restarts] == [0.3, 0.3]


def breaking(bench, side, error_class, times=99, **more):
    """An input and an output, one of which says in its first sessions, after a record, that it cannot go on."""
    starts = bench.folder / "starts"
    said = {"status": "error", "diagnostics": [
        {"summary": "No such queue", "detail": "it was deleted by hunter2", "class": error_class, **more}]}  # fmt: skip
    fail = f"""
with open({str(starts)!r}, "a") as file: file.write("+")
if os.path.getsize({str(starts)!r}) <= {times}: say({json.dumps(said)!r}); sys.exit(1)
"""
    source = """
say('{"status":"ready"}'); say('{"data":{"n":1},"metadata":{}}')
FAIL
say('{"checkpoint":{},"n":1}'); say('{"end":true}')
"""
    sink = """
say('{"status":"ready"}'); sys.stdin.readline()
FAIL
for line in sys.stdin:
    if line.startswith('{"checkpoint"'): say(line.strip())
"""
    ends = [("input", "in", source), ("output", "out", sink)]
    return [bench.python(name, body.replace("FAIL", fail if role == side else "")) for role, name, body in ends]


def test_a_retriable_refusal_is_retried_without_end(bench, tmp_path):
    starts = tmp_path / "starts"
    source = bench.python(
        "in",
        f"""
with open({str(starts)!r}, "a") as file: file.write("+")
if os.path.getsize({str(starts)!r}) < 6:
    say('{{"status":"error","diagnostics":[{{"summary":"Not up yet","class":"retriable"}}]}}'); sys.exit(1)
say('{{"status":"ready"}}'); say('{{"end":true}}')
""",
    )
    outcome = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}), longest_delay=0.1)
    assert outcome.status == "ended", detail(outcome)
    assert len(bench.notes.restarts) == 5


LONG_RECORD = """
say('{"status":"ready"}')
def record(number, **more):
    say(json.dumps({"data": {"number": number, **more}, "metadata": {"Key": {"key": 1}}}, separators=(",", ":")))
record(1)
record(2, text="x" * 5000)
record(3)
say('{"checkpoint":{"number":3},"n":1}')
say('{"end":true}')
"""


def test_a_record_over_the_limit_is_a_dead_letter_and_the_task_goes_on(bench):
    source = bench.python(
        "in", f"open({str(bench.folder / 'opening')!r}, 'w').write(json.dumps(opening))\n" + LONG_RECORD
    )
    flow = replace(bench.flow(source, bench.ledger, None, {"path": str(bench.got)}), record_limit=1000)
    outcome = bench.run(flow)
    assert outcome.status == "ended", detail(outcome)
    assert bench.numbers() == [1, 3]
    assert (outcome.totals.stored, outcome.totals.dead_letters, outcome.checkpoint) == (2, 1, {"number": 3})
    assert bench.notes.problems == ["Record too long"]
    with bench.store.acquire("test") as lease:
        [key] = lease.dead_letters.list()
        letter = lease.dead_letters.read(key)
    assert json.loads(letter.envelope)["data"] == {"number": 2, "text": "x" * 5000}
    assert "record_limit" in letter.reason
    assert json.loads((bench.folder / "opening").read_text())["record_limit"] == 1000


def test_without_confirmation_a_record_over_the_limit_is_a_dead_letter_too(bench, tmp_path):
    source = bench.shell(
        "in", 'read -r o; echo \'{"data":{"n":1}}\'; printf \'%05000d\\n\' 7; echo \'{"data":{"n":2}}\''
    )
    outcome = bench.run(replace(bench.flow(source, bench.shell("out", SINK)), record_limit=1000))
    assert outcome.status == "ended", detail(outcome)
    assert (tmp_path / "out.got").read_text() == '{"data":{"n":1}}\n{"data":{"n":2}}\n'
    assert (outcome.totals.records, outcome.totals.dead_letters) == (2, 1)


@pytest.mark.parametrize("takes", [True, False])
def test_an_input_announces_columns_only_to_an_output_that_takes_them(bench, takes):
    source = bench.python("in", f"open({str(bench.folder / 'opening')!r}, 'w').write(json.dumps(opening))\n" + """
say('{"status":"ready"}')
if opening.get("schemas"): say('{"schema":{"stream":"t","columns":[]}}')
say('{"data":{}}'); say('{"checkpoint":{"number":1},"n":1}'); say('{"end":true}')
""")  # fmt: skip
    sink = f"""
say('{{"status":"ready"}}')
for line in sys.stdin:
    with open({str(bench.got)!r}, "a") as file: file.write(line)
    if line.startswith('{{"checkpoint"'): say(line.strip())
    if line.startswith('{{"end"'): sys.exit()
"""
    head = PROBED.replace('["checkpoint"]', '["checkpoint", "schemas"]') if takes else PROBED
    bench.python("out", sink, head)
    outcome = bench.run(bench.flow(source, str(bench.folder / "out")))
    assert outcome.status == "ended", detail(outcome)
    assert json.loads((bench.folder / "opening").read_text()).get("schemas", False) is takes
    assert bench.got.read_text().startswith('{"schema":') is takes
    assert (outcome.totals.records, outcome.totals.stored) == (1, 1)


REFUSES = """
say('{"status":"ready"}')
for line in sys.stdin:
    if line.startswith('{"end"'): sys.exit()
    say('{"reject":{"envelope":%s,"reason":"no"}}' % line.strip() if line.startswith('{"data"') else line.strip())
"""
TWO_RECORDS = """
say('{"status":"ready"}')
for number in (1, 2):
    say('{"data":{"number":%d}}' % number)
    say('{"checkpoint":{"number":%d},"n":%d}' % (number, number))
say('{"end":true}')
"""


@pytest.mark.parametrize(("allowed", "status"), [(None, "ended"), (2, "ended"), (1, "failed"), (0, "failed")])
def test_more_dead_letters_than_allowed_end_the_run(bench, allowed, status):
    flow = bench.flow(bench.python("in", TWO_RECORDS), bench.python("out", REFUSES))
    outcome = bench.run(replace(flow, max_dead_letters=allowed))
    assert outcome.status == status, detail(outcome)
    if status == "failed":
        [found] = outcome.diagnostics
        assert found.summary == "Too many dead letters"
        assert outcome.totals.dead_letters > allowed
        assert outcome.sessions == 1
    else:
        assert outcome.totals.dead_letters == 2


def test_an_error_that_a_provider_reports_names_the_provider(bench):
    refusal = '{"status":"error","diagnostics":[{"summary":"Expecting value (char 0)","class":"invalid"}]}'
    source = bench.python("source", f"say({refusal!r}); sys.exit(1)")
    [found] = bench.run(bench.flow(source, bench.ledger, None, {"path": str(bench.got)})).diagnostics
    assert found.summary == "Expecting value (char 0)"
    assert "Reported by the input" in found.detail and "source" in found.detail


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
    started = time.monotonic()
    with bench.store.acquire("run"), pytest.raises(StateLocked):
        bench.run(moving(bench, tmp_path), stop, lock_timeout=600)
    assert time.monotonic() - started < 60
