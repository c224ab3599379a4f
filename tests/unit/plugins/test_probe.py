"""The probe: who is asked, who answers what, and what is remembered."""

import json

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.plugins import ProviderSource, probe, probe_many, resolve
from dstream.registry.machine_records import MachineRecords
from dstream_state import processes
from tests.events import until

pytestmark = pytest.mark.processes

ANSWER = {
    "protocol": 2,
    "provider": {"name": "thing", "version": "1.2"},
    "roles": ["output"],
    "capabilities": ["checkpoint"],
    "unknown": "is ignored",
    "schema": {
        "config": {"type": "object"},
        "resources": {
            "thing": {
                "version": 3, "schema": {"properties": {"size": {"type": "integer", "default": 5}, "id": {}}},
                "computed": ["id"], "sensitive": {"key": "write_only"}, "replace": ["name"], "identity": "planned",
                "identity_attributes": ["name"], "holds_data": True, "plans": True,
            }
        },
    },
}  # fmt: skip


def answering(shell, answer, log=""):
    return shell(f'{log}\n[ "$DSTREAM_PROBE" = 1 ] && [ -z "$(cat)" ] && echo \'{json.dumps(answer)}\'\n')


def test_a_version_2_provider_says_what_it_is(shell):
    info = probe(answering(shell, ANSWER))
    assert (info.protocol, info.name, info.version, info.roles) == (2, "thing", "1.2", {"output"})
    thing = info.resources["thing"]
    assert (thing.version, thing.computed, thing.replace) == (3, {"id"}, {"name"})
    assert thing.holds_data and thing.plans
    assert (thing.identity, thing.identity_attributes, thing.sensitive) == ("planned", ("name",), {"key": "write_only"})
    assert thing.defaults == {"size": 5}
    assert info.acknowledges


def test_a_later_version_is_spoken_to_in_version_2(shell):
    assert probe(answering(shell, {**ANSWER, "protocol": 7})).protocol == 2


@pytest.mark.parametrize(
    "body",
    ["exit 0", "exit 3", "echo hello", 'echo \'{"status":"ready"}\'', "cat >/dev/null; exit 1", "kill -9 $$"],
)
def test_anything_else_is_version_1(shell, body):
    assert probe(shell(body)).protocol == 1


def test_an_input_that_streams_whatever_it_is_told_is_stopped_at_its_first_line(shell, tmp_path):
    binary = shell('echo $$ >"$0.pid"; while :; do echo \'{"data":{"a":1}}\'; sleep 0.05; done')
    assert probe(binary).protocol == 1
    pid = int((tmp_path / "provider.pid").read_text())
    until(lambda: processes.start_time(pid) is None, "the end of the provider")


def test_half_an_answer_is_an_error(shell):
    with pytest.raises(DiagnosticsError) as problem:
        probe(shell('printf \'{"protocol":2,"provi\'; echo broken pipe of mine >&2'))
    (diagnostic,) = problem.value.diagnostics
    assert diagnostic.summary == "Provider protocol violation"
    assert "broken pipe of mine" in diagnostic.detail


def test_a_wrong_description_is_an_error(shell):
    wrong = {**ANSWER, "schema": {"resources": {"thing": {"identity": "whatever"}}}}
    with pytest.raises(DiagnosticsError) as problem:
        probe(answering(shell, wrong))
    assert "whatever" in problem.value.diagnostics[0].detail


def test_an_answer_is_remembered_until_the_content_changes(shell, tmp_path):
    log = tmp_path / "elsewhere"
    log.mkdir()
    cache = tmp_path.parent / f"{tmp_path.name}-cache"
    binary = answering(shell, ANSWER, f"echo x >>{log}/asked")

    def asked():
        return (log / "asked").read_text().count("x")

    first = probe(binary, records=MachineRecords(cache))
    assert probe(binary, records=MachineRecords(cache)) == first
    assert asked() == 1
    changed = answering(shell, {**ANSWER, "provider": {"name": "thing", "version": "1.3"}}, f"echo x >>{log}/asked")
    assert probe(changed, records=MachineRecords(cache)).version == "1.3"
    assert asked() == 2


def test_a_crash_is_not_remembered(shell, tmp_path):
    flag = tmp_path.parent / f"{tmp_path.name}-flag"
    binary = shell(f"[ -e {flag} ] || kill -9 $$; echo '{json.dumps(ANSWER)}'")
    assert probe(binary, records=MachineRecords(tmp_path / "cache")).protocol == 1
    flag.touch()
    assert probe(binary, records=MachineRecords(tmp_path / "cache")).protocol == 2


def test_a_damaged_cache_is_asked_again(shell, tmp_path):
    cache = tmp_path.parent / f"{tmp_path.name}-cache"
    binary = answering(shell, ANSWER)
    probe(binary, records=MachineRecords(cache))
    (entry,) = cache.glob("records/*/*")
    entry.write_text("{")
    assert probe(binary, records=MachineRecords(cache)).version == "1.2"


def test_several_are_asked_at_once_and_all_problems_are_told(shell, tmp_path):
    good = answering(shell, ANSWER)
    meeting = tmp_path.parent / f"{tmp_path.name}-meeting"
    meeting.mkdir()
    meet = f"touch {meeting}/$$; until [ $(ls {meeting} | wc -l) = 2 ]; do sleep 0.01; done"
    both = [shell(f"{meet}; echo '{json.dumps(ANSWER)}'", f"both{number}") for number in range(2)]
    assert [info.version for info in probe_many([good, *both, good])] == ["1.2"] * 4
    broken = [shell(f"printf '{{\"protocol\":2,{number}'", f"broken{number}") for number in range(2)]
    with pytest.raises(DiagnosticsError) as problem:
        probe_many([good, *broken])
    assert len(problem.value.diagnostics) == 2


def test_an_installed_provider_answers(tmp_path):
    info = probe(resolve(ProviderSource("name", "counter"), tmp_path, "input"))
    assert info.protocol == 2
    assert info.name == "counter"
