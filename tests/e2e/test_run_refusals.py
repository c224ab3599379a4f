"""What a flow does with refused records, with records that break the output, and with errors of providers."""

import json

import pytest
from msgspec.structs import replace

from tests.e2e.run_parts.bench import PROBED, SINK, detail


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
