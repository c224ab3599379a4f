"""The conformance kit passes good providers, and names the rule that a bad one breaks."""

from pathlib import Path

import pytest

from dstream.plugins import ProviderSource, resolve
from dstream.plugins.conformance import run_kit

pytestmark = pytest.mark.processes

HEAD = """
def say(line):
    sys.stdout.write(line + "\\n"); sys.stdout.flush()
if os.environ.get("DSTREAM_PROBE"):
    say(json.dumps({"protocol": 2, "provider": {"name": "p", "version": "1"}, "roles": [ROLE],
                    "capabilities": ["checkpoint"]}))
    sys.exit()
opening = json.loads(sys.stdin.readline().lstrip("\ufeff"))
if opening.get("command") not in ("run", "plan", "serve"):
    say('{"status":"error","diagnostics":[{"summary":"no"}]}'); sys.exit(1)
if opening["command"] == "plan":
    say('{"status":"done"}'); sys.exit()
READY = '{"status":"ready","protocol":2}'
def echo(line):
    sys.stdout.write(line); sys.stdout.flush()
"""

FORGETS = """say(READY); say('{"data":{}}'); say('{"checkpoint":{},"n":1}'); say('{"data":{}}'); """
CREATES = """
say(READY)
for line in sys.stdin:
    if "unnamed" in line: say('{"stream":{"name":"conformance_unnamed","key":["id"]}}'); break
    if line.startswith('{"checkpoint":'): echo(line)
    if line.startswith('{"end":'): sys.exit()
"""
"""An output that asks for the objects of a table that nobody named."""


def failed(results):
    return {result.rule for result in results if result.outcome == "failed"}


@pytest.mark.parametrize(
    ("name", "role", "config"),
    [
        ("counter", "input", {"interval": 5}),
        ("console", "output", {}),
        ("log", "output", {}),
        ("jsonl", "output", {"path": "PATH/out.jsonl"}),
    ],
    ids=["counter", "console", "log", "jsonl"],
)
def test_our_own_providers_pass(tmp_path, name, role, config):
    if "path" in config:
        config = {"path": config["path"].replace("PATH", str(tmp_path))}
    verify = f"cat {config['path']}" if "path" in config else None
    results = run_kit(resolve(ProviderSource("name", name), tmp_path, role), config, verify)
    assert failed(results) == set(), [result for result in results if result.outcome == "failed"]
    assert sum(result.outcome == "passed" for result in results) >= 12
    if verify:
        assert of_rule(results, "R30") == of_rule(results, "R36") == {"passed"}
    if role == "input":
        assert of_rule(results, "R23") == of_rule(results, "R27") == {"passed"}


@pytest.mark.parametrize(
    ("role", "body", "rules"),
    [
        ("input", "say('hello')", {"R7", "R20"}),
        ("input", "say(READY); say('hello'); say('{\"end\":true}')", {"R2"}),
        ("input", "say(READY); say('{\"checkpoint\":{\"a\":1},\"n\":2}'); say('{\"end\":true}')", {"R21", "R26"}),
        ("input", "say(READY); say('{\"data\":{}}'); sys.exit(3)", {"R24", "R25", "R28"}),
        ("input", "say(READY); say('{\"data\":{}}'); time.sleep(1)", {"R24", "R25", "R29"}),
        ("input", FORGETS + "time.sleep(60)", {"R50"}),
        ("output", "say(READY); sys.stdin.read()", {"R31", "R33"}),
        ("output", "say(READY)\nfor line in sys.stdin:\n    if 'checkpoint' in line: echo(line)", {"R35"}),
        ("output", "say(READY)\nfor line in sys.stdin: echo(line)", {"R31", "R34"}),
        ("output", CREATES + "say('{\"checkpoint\":{\"source\":\"conformance\",\"id\":2},\"n\":2}')", {"R38"}),
        ("output", CREATES.replace("[\"id\"]", "null"), {"R38"}),
        ("resource", "say(READY)\nfor line in sys.stdin: sys.exit(1)", {"R40", "R42", "R47"}),
        ("resource", "say(READY)\nfor line in sys.stdin: say('{\"id\":%d,\"status\":\"ok\"}' % json.loads(line)['id'])",
         {"R47"}),
    ],
)  # fmt: skip
def test_a_provider_that_breaks_a_rule_is_found(python, monkeypatch, role, body, rules):
    from dstream.plugins.conformance import data_input, data_output, talk

    for module, name in (
        (talk, "PATIENCE"),
        (data_input, "_SECONDS"),
        (data_input, "_UNCOVERED"),
        (data_output, "_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 2.0)
    binary = python(HEAD.replace("ROLE", repr(role)) + body)
    found = failed(run_kit(binary, {"a": 1}))
    assert rules <= found


def test_a_provider_that_asks_for_new_objects_passes(python):
    results = run_kit(python(HEAD.replace("ROLE", "'output'") + CREATES), {})
    assert {result.outcome for result in results if result.rule == "R38"} == {"passed"}


@pytest.mark.parametrize(
    ("timeouts", "outcome"),
    [
        ('{"create":7200,"read":1.5,"update":60,"delete":60}', "passed"),
        ('{"create":"1h"}', "failed"),
        ('{"create":0}', "failed"),
        ('{"destroy":60}', "failed"),
        ("60", "failed"),
    ],
)
def test_timeouts_of_planned_objects_are_seconds_by_name(python, timeouts, outcome):
    resource = f'{{"resource":{{"type":"t","key":"k","attributes":{{}},"timeouts":{timeouts}}}}}'
    plans = HEAD.replace("ROLE", "'output'").replace("""say('{"status":"done"}')""", f"say({resource!r}); DONE")
    results = run_kit(python(plans.replace("DONE", """say('{"status":"done"}')""") + CREATES), {})
    assert [result.outcome for result in results if result.rule == "R16"] == [outcome]


def test_what_speaks_version_1_only_ever_gets_run(shell, tmp_path):
    binary = shell('[ -n "$DSTREAM_PROBE" ] && exit; cat >>"$0.got"; echo \'{"data":{}}\'')
    results = run_kit(binary, {"a": 1})
    assert failed(results) == set()
    assert (tmp_path / "provider.got").read_text() == '{"command":"run","config":{"a":1}}\n'
    assert {result.rule: result.outcome for result in results} == {"R1": "skipped", "R60": "passed", "R61": "skipped"}


def test_results_are_data_too(shell):
    (first, *_) = run_kit(shell("exit 0"), {})
    assert first.to_json()["rule"] == "R1"
    assert first.to_json()["outcome"] == "skipped"


# -- providers that lose data ------------------------------------------------------------------------------------------

FILE_OUT = """
path = opening["config"]["path"]
file = open(path, "a", buffering=1 << 20)
def durable():
    file.flush(); os.fsync(file.fileno())
say(READY)
kept, seen = [], 0
for line in sys.stdin:
    if not line.endswith("\\n"): break
    if line.startswith('{"checkpoint":'):
        CHECKPOINT
        kept.clear()
    elif line.startswith('{"end":'):
        END
        sys.exit()
    elif not line.startswith('{"data"'):
        say(json.dumps({"reject": {"envelope": line.strip(), "reason": "not an envelope"}}, separators=(",", ":")))
    else:
        seen += 1
        RECORD
"""
RECORD, WRITE, END_OUT = "kept.append(line)", "file.writelines(kept); durable()", "durable()"


def file_out(record=RECORD, checkpoint=f"{WRITE}; echo(line)", end=END_OUT):
    body = FILE_OUT.replace("RECORD", record).replace("CHECKPOINT", checkpoint).replace("END", end)
    return HEAD.replace("ROLE", "'output'") + body


def of_rule(results, rule):
    return {result.outcome for result in results if result.rule == rule}


def test_an_output_that_writes_first_passes(python, tmp_path):
    results = run_kit(python(file_out()), {"path": str(tmp_path / "out")}, f"cat {tmp_path / 'out'}")
    assert failed(results) == set(), [result for result in results if result.outcome == "failed"]
    for rule in ("R30", "R33", "R35", "R36"):
        assert of_rule(results, rule) == {"passed"}, rule


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"checkpoint": f"echo(line); {WRITE}"}, {"R30"}),
        ({"checkpoint": "file.writelines(kept); echo(line)"}, {"R30"}),
        ({"record": "kept.append(line) if seen % 2 else None"}, {"R30", "R33"}),
        ({"record": "file.write(line)", "checkpoint": "echo(line)"}, {"R30"}),
    ],
    ids=["acknowledges before it writes", "writes only at close", "drops every other record", "buffers"],
)
def test_an_output_that_loses_data_is_found(python, tmp_path, changes, rules):
    results = run_kit(python(file_out(**changes)), {"path": str(tmp_path / "out")}, f"cat {tmp_path / 'out'}")
    assert failed(results) == rules, [result for result in results if result.outcome == "failed"]


REJECTS = 'say(json.dumps({"reject"'


def test_a_record_that_is_swallowed_is_found(python, tmp_path):
    swallows = file_out().replace(REJECTS, REJECTS.replace("say", "str"))
    results = run_kit(python(swallows), {"path": str(tmp_path / "out")}, f"cat {tmp_path / 'out'}")
    assert failed(results) == {"R36"}


def test_a_reject_after_its_acknowledgement_is_found(python, tmp_path):
    late = file_out(checkpoint=f"{WRITE}; echo(line); [say(each) for each in late]; late.clear()")
    late = late.replace("kept, seen = [],", "late, kept, seen = [], [],").replace(REJECTS, "late.append" + REJECTS[3:])
    results = run_kit(python(late), {"path": str(tmp_path / "out")}, f"cat {tmp_path / 'out'}")
    assert failed(results) == {"R36"}


def test_without_a_view_of_the_sink_the_kit_says_so(python, tmp_path):
    results = run_kit(python(file_out()), {"path": str(tmp_path / "out")})
    [durable] = [result for result in results if result.rule == "R30"]
    assert (durable.outcome, "-verify" in durable.detail) == ("skipped", True)
    assert all(result.detail for result in results if result.outcome == "skipped")


QUEUE_IN = """
import select, signal
TOTAL = 12
released = opening["config"]["state"]
start = int(open(released).read()) if os.path.exists(released) else 0
position = (opening.get("checkpoint") or {}).get("at", start)
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
number = 0
def checkpoint(value):
    global number
    if opening.get("acks"):
        number += 1
        say(json.dumps({"checkpoint": {"at": value}, "n": number}, separators=(",", ":")))
def record(value):
    form = {"data": {"id": value}, "metadata": {"TableName": "t", "Key": {"id": value}}}
    say(json.dumps(form, separators=(",", ":")))
say(READY)
at = position
FIRST
while at < TOTAL and not stops and (opening.get("max_records") is None or at - position < opening["max_records"]):
    BODY
while not (stops or opening.get("until") or opening.get("max_records")):
    if select.select([0], [], [], 0.01)[0] and not os.read(0, 1 << 16): break
checkpoint(at)
if opening.get("acks"): say('{"end":true}')
"""
GOOD_BODY = "record(at + 1); at += 1; checkpoint(at) if at % 3 == 0 else None"


def queue_in(first="", body=GOOD_BODY):
    return HEAD.replace("ROLE", "'input'") + QUEUE_IN.replace("FIRST", first).replace("BODY", body)


def test_an_input_that_continues_behind_its_checkpoints_passes(python, tmp_path):
    results = run_kit(python(queue_in()), {"state": str(tmp_path / "released")})
    assert failed(results) == set(), [result for result in results if result.outcome == "failed"]
    assert (of_rule(results, "R23"), of_rule(results, "R27")) == ({"passed"}, {"passed"})


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"first": "at += 1 if opening.get('checkpoint') else 0"}, {"R23"}),
        ({"body": "checkpoint(at + 1); record(at + 1); at += 1"}, {"R23"}),
        ({"body": GOOD_BODY + "; open(released, 'w').write(str(at))"}, {"R27"}),
    ],
    ids=["loses one when it is resumed", "checkpoint before its data", "releases without a commit"],
)
def test_an_input_that_loses_data_is_found(python, tmp_path, changes, rules):
    results = run_kit(python(queue_in(**changes)), {"state": str(tmp_path / "released")})
    assert rules <= failed(results), [result for result in results if result.outcome == "failed"]


LEAKY = """
sys.path.insert(0, SDK)
from dataclasses import dataclass
import dstream_sdk as sdk
@dataclass(frozen=True)
class Settings:
    password: str | None = sdk.setting(None, sensitive=True)
class In(sdk.Input[Settings]):
    def run(self, config, session):
        if LEAKS: sys.stderr.write(f"connecting with {config.password}\\n")
        session.emit({"a": 1})
sdk.main(sdk.Provider("leaky", "1", input=In()))
"""


@pytest.mark.parametrize(("leaks", "outcome"), [(True, "failed"), (False, "passed")])
def test_a_secret_on_stderr_is_found_behind_the_schema_that_our_sdk_writes(python, leaks, outcome):
    sdk = Path(__file__).resolve().parents[3] / "providers" / "sdk"
    results = run_kit(python(LEAKY.replace("SDK", repr(str(sdk)), 1).replace("LEAKS", str(leaks)), role="input"), {})
    assert of_rule(results, "R9") == {outcome}
