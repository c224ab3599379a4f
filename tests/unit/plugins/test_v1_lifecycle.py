"""Version 1 outputs: lifecycle commands, as providers in the field answer them."""

import threading

import pytest

from dstream.plugins import LegacyLifecycle, ProviderInfo, Request
from dstream.plugins.session_options import SessionOptions
from dstream_state import V1_LIFECYCLE, processes
from tests.events import until

pytestmark = pytest.mark.processes

INFO = ProviderInfo(1, "p", "", frozenset({"input", "output"}))
FOUR_LINES = """read -r opening
case $opening in *'"command":"init"'*) echo '{"status":"success","resources":["queue:Orders"],"message":"made"}' ;;
*) echo '{"status":"error","error":"unexpected"}' ;;
esac"""


def ask(binary, command="init", **given):
    lifecycle = LegacyLifecycle(binary, INFO, {"queue": "Orders"}, SessionOptions(redact=("hunter2",)))
    got, done = [], threading.Event()
    request = Request(command, V1_LIFECYCLE, "lifecycle", **given)
    lifecycle.submit(request, lambda answer: (got.append(answer), done.set()))
    assert done.wait(30)
    lifecycle.close()
    return got[0]


def test_four_lines_of_shell_are_a_provider(shell):
    answer = ask(shell(FOUR_LINES), desired={"config": 1})
    assert answer.status == "ok"
    assert answer.attributes == {"config": 1}
    assert answer.text == "made\nqueue:Orders"


def test_the_opening_line_is_of_version_1_and_stdin_is_closed(shell, tmp_path):
    ask(shell('cat >"$0.got"'), desired={})
    assert (tmp_path / "provider.got").read_text() == '{"command":"init","config":{"queue":"Orders"}}\n'


def test_dotnet_casing_with_failed_is_a_failure_though_the_exit_code_is_0(shell):
    answer = ask(shell("""echo '{"Status":"Failed","Message":"no rights with hunter2","Resources":[]}'; exit 0"""))
    assert answer.status == "error"
    assert "no rights with (sensitive value)" in answer.diagnostics[0].detail


@pytest.mark.parametrize("word", ["Success", "OK", "Ready", "Initialized", "DESTROYED"])
def test_any_known_word_in_any_case_is_success(shell, word):
    assert ask(shell(f"""printf '\\357\\273\\277{{"STATUS":"{word}"}}\\r\\n'"""), "destroy").status == "ok"


def test_an_object_over_several_lines_after_ready_counts(shell):
    assert ask(shell("""echo '{"status":"ready"}'; echo '{"Status":"failed","Error":"late"}'""")).status == "error"
    assert ask(shell("""printf '{\\n "Status" : "failed",\\n "Error": "late"\\n}\\n'""")).status == "error"


def test_a_provider_without_infrastructure_says_nothing(shell):
    answer = ask(shell("echo 'unknown command' >&2; exit 2"), desired={"a": 1})
    assert (answer.status, answer.attributes) == ("ok", {"a": 1})
    assert "manages no infrastructure" in answer.text


def test_a_line_of_data_ends_the_process_and_is_an_error(shell, tmp_path):
    binary = shell("""echo $$ >"$0.pid"; while :; do echo '{"data":{"a":1}}'; sleep 0.05; done""")
    answer = ask(binary)
    assert answer.crashed
    assert answer.diagnostics[0].summary == "Data stream instead of an answer"
    pid = int((tmp_path / "provider.pid").read_text())
    until(lambda: processes.start_time(pid) is None, "the end of the provider")


def test_a_crash_and_a_hang_are_errors(shell):
    crashed = ask(shell("echo half a thing >&2; kill -9 $$"))
    assert crashed.crashed
    assert "half a thing" in crashed.diagnostics[0].detail
    assert not crashed.late
    slow = ask(shell("exec sleep 100"), timeout=0.3)
    assert slow.crashed and slow.late


@pytest.mark.parametrize("command", ["status", "plan"])
def test_what_status_and_plan_say_is_text_and_never_a_change(shell, command):
    answer = ask(shell("""echo '{"status":"Failed","message":"differs"}'"""), command, prior={"config": 1})
    assert (answer.status, answer.attributes, answer.text) == ("ok", {"config": 1}, "differs")


@pytest.mark.parametrize("command", ["import", "find", "upgrade"])
def test_version_1_is_sent_no_command_that_it_does_not_know(shell, tmp_path, command):
    assert ask(shell('cat >"$0.got"'), command).status == "error"
    assert not (tmp_path / "provider.got").exists()
