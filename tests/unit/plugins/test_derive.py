"""What a task needs: complete, deferred, or an error that says what is wrong."""

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.plugins import PlanRequest, ProviderInfo, derive

pytestmark = pytest.mark.processes

INFO = ProviderInfo(2, "p", "1", frozenset({"output"}))


TIMED = """echo '{{"resource":{{"type":"queue","key":"Q","timeouts":{}}}}}'; echo '{{"status":"done"}}'"""


def ask(binary, *, timeout=30.0, **given):
    return derive(binary, INFO, "output", PlanRequest("t", {"a": 1}, **given), timeout=timeout)


def test_objects_and_streams_are_read(shell):
    found = ask(
        shell("""cat >"$0.got"
printf '{"resource":{"type":"queue","key":"Q","attributes":{"n":1.10},'
echo '"depends_on":[["ns","main"]],"aliases":[["queue","q"]]}}'
echo '{"stream":{"name":"S","key":["id"]}}'
echo '{"status":"done"}'"""),
        streams=[{"name": "X"}],
    )
    (queue,) = found.resources
    assert (queue.type, queue.key) == ("queue", "Q")
    assert (queue.depends_on, queue.aliases) == ((("ns", "main"),), (("queue", "q"),))
    assert str(queue.attributes["n"]) == "1.10"
    assert found.streams == ({"name": "S", "key": ["id"]},)
    assert found.deferred is None


def test_timeouts_are_seconds_and_may_be_left_out(shell):
    (queue,) = ask(shell(TIMED.format('{"create":7200,"update":1.5,"delete":null,"later":1}'))).resources
    assert queue.timeouts.to_json() == {"create": 7200.0, "update": 1.5}
    (other,) = ask(shell(TIMED.format("null"))).resources
    assert other.timeouts.to_json() == {}


def test_the_opening_line_is_whole_and_stdin_is_closed(shell, tmp_path):
    ask(shell("""cat >"$0.got"; echo '{"status":"done"}'"""), streams=[])
    assert (tmp_path / "provider.got").read_text() == (
        '{"command":"plan","protocol":2,"role":"output","task":"t","config":{"a":1},"streams":[]}\n'
    )


def test_a_provider_runs_in_the_folder_of_the_configuration(shell, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    ask(shell("""pwd >"$0.folder"; echo '{"status":"done"}'"""))
    assert (tmp_path / "provider.folder").read_text().strip() == str(tmp_path)


def test_an_unknown_value_defers(shell):
    assert ask(shell("""echo '{"status":"deferred","needs":["config.a"]}'""")).deferred == ("config.a",)


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        ("exit 0", "Unexpected provider exit"),
        ("kill -9 $$", "Unexpected provider exit"),
        ('echo \'{"resource":{"type":"q","key":"k"}}\'; exit 0', "Unexpected provider exit"),
        ('printf \'{"resource":{"ty\'; exit 1', "Incomplete line from provider"),
        ("echo Hello", "Provider protocol violation"),
        (TIMED.format('{"create":"1h"}'), "Provider protocol violation"),
        (TIMED.format('{"delete":0}'), "Provider protocol violation"),
        (TIMED.format('{"update":1e400}'), "Provider protocol violation"),
        (TIMED.format('{"update":true}'), "Provider protocol violation"),
        (TIMED.format("60"), "Provider protocol violation"),
        ('echo \'{"resource":{"key":"k"}}\'', "Provider protocol violation"),
        ("echo '" + 2 * '{"resource":{"type":"q","key":"k"}}\n' + "'", "Provider protocol violation"),
        ('echo \'{"stream":5}\'; echo \'{"status":"done"}\'', "Provider protocol violation"),
        ('echo \'{"status":"whatever"}\'', "Provider protocol violation"),
        ('echo \'{"status":"done"}\'; exit 4', "Unexpected provider exit"),
        ("exec sleep 100", "No response from provider"),
    ],
)
def test_any_other_answer_is_an_error_with_the_end_of_stderr(shell, body, summary):
    with pytest.raises(DiagnosticsError) as problem:
        patience = 1 if summary == "No response from provider" else 60
        ask(shell(f"echo 'password is hunter2' >&2\n{body}"), timeout=patience, redact=("hunter2",))
    (diagnostic,) = problem.value.diagnostics
    assert diagnostic.summary == summary
    assert "password is (sensitive value)" in diagnostic.detail
    assert "hunter2" not in diagnostic.detail


def test_diagnostics_of_the_provider_are_passed_on_without_secrets(shell):
    found = '{"summary":"Bad hunter2","detail":"d","path":"config.a"},{"summary":"Two"}'
    form = f'{{"status":"error","diagnostics":[{found}]}}'
    with pytest.raises(DiagnosticsError) as problem:
        ask(shell(f"echo '{form}'; exit 1"), redact=("hunter2",))
    assert [each.summary for each in problem.value.diagnostics] == ["Bad (sensitive value)", "Two"]
    assert "config.a" in problem.value.diagnostics[0].detail


def test_a_version_1_provider_is_never_asked(shell):
    with pytest.raises(ValueError, match="version 1"):
        derive(shell(""), ProviderInfo(1, "p", "", frozenset()), "output", PlanRequest("t", {}))
