"""Flows with providers of version 1: what moves, what is an error, and how they end."""

import json

import pytest

from tests.e2e.run_parts.bench import SINK, detail


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
    flow = bench.flow(source, bench.shell("out", SINK))
    outcome = bench.run(flow, until_idle=True, idle_seconds=4.0)  # longer than a shell takes to start on a busy machine
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
