"""The conformance kit passes good providers, and names the rule that a bad one breaks."""

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
opening = json.loads(sys.stdin.readline())
if opening.get("command") not in ("run", "plan", "serve"):
    say('{"status":"error","diagnostics":[{"summary":"no"}]}'); sys.exit(1)
if opening["command"] == "plan":
    say('{"status":"done"}'); sys.exit()
READY = '{"status":"ready","protocol":2}'
def echo(line):
    sys.stdout.write(line); sys.stdout.flush()
"""

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
    results = run_kit(resolve(ProviderSource("name", name), tmp_path, role), config)
    assert failed(results) == set(), [result for result in results if result.outcome == "failed"]
    assert sum(result.outcome == "passed" for result in results) >= 12


@pytest.mark.parametrize(
    ("role", "body", "rules"),
    [
        ("input", "say('hello')", {"R7", "R20"}),
        ("input", "say(READY); say('hello'); say('{\"end\":true}')", {"R2"}),
        ("input", "say(READY); say('{\"checkpoint\":{\"a\":1},\"n\":2}'); say('{\"end\":true}')", {"R21", "R26"}),
        ("input", "say(READY); say('{\"data\":{}}'); sys.exit(3)", {"R24", "R25", "R28"}),
        ("input", "say(READY); say('{\"data\":{}}'); time.sleep(1)", {"R24", "R25", "R29"}),
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

    for module, name in ((talk, "PATIENCE"), (data_input, "_SECONDS"), (data_output, "_SECONDS")):
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
