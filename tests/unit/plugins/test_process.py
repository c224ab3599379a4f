"""Provider processes: environment, groups, and that they end with the host."""

import os
import signal
import subprocess
import sys

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.plugins import process as process_module
from dstream.plugins.environment import provider_environment
from dstream.plugins.one_shot import converse
from dstream.plugins.process import describe_exit, spawn
from dstream.plugins.redact import Redactor
from dstream_state.processes import alive, start_time
from tests.events import PATIENCE, until

pytestmark = pytest.mark.processes


def gone(pid):
    return until(lambda: not alive(pid, None), f"process {pid} to be gone")


def output_of(argv, **environment):
    process = spawn("p", argv, environment or {"PATH": os.environ["PATH"]})
    return converse(process, b"", timeout=PATIENCE, redactor=Redactor()).text.decode()


def test_a_provider_sees_the_usual_environment_and_what_its_block_names(monkeypatch):
    source = {
        "PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "TMPDIR": "/t", "https_proxy": "p", "SSL_CERT_FILE": "c",
        "AWS_SECRET": "no", "NAMED": "yes", "DSTREAM_FAULT": "f", "DSTREAM_STATE": "no", "PYTHONPATH": "no",
    }  # fmt: skip
    seen = provider_environment(["NAMED", "UNSET"], source, DSTREAM_PROBE="1")
    assert sorted(seen) == sorted(
        ["PATH", "HOME", "LC_ALL", "TMPDIR", "https_proxy", "SSL_CERT_FILE", "NAMED", "DSTREAM_FAULT", "DSTREAM_PROBE"]
    )


def test_nothing_of_the_hosts_environment_leaks(monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_HOST", "leaked")
    said = output_of(["/usr/bin/env"], **provider_environment())
    assert "PATH=" in said
    assert "leaked" not in said


def test_arguments_pass_through_no_shell():
    assert output_of(["/bin/echo", "$HOME;", "`id`"]) == "$HOME; `id`\n"


def test_only_inherited_descriptors_are_open_in_a_provider():
    read, write = os.pipe()
    kept, _ = os.pipe()
    process = spawn("p", ["/bin/sh", "-c", "ls /proc/self/fd"], {"PATH": os.environ["PATH"]}, [kept])
    said = converse(process, b"", timeout=PATIENCE, redactor=Redactor()).text.decode().split()
    assert str(kept) in said
    assert str(read) not in said
    assert str(write) not in said


def test_a_program_that_cannot_be_started_is_an_error_for_the_user(monkeypatch):
    monkeypatch.setattr(process_module, "_with_parent_death_signal", tuple)
    with pytest.raises(DiagnosticsError) as problem:
        spawn("p", ["/does/not/exist"], {})
    assert "/does/not/exist: No such file" in problem.value.diagnostics[0].detail


def test_a_launcher_says_on_stderr_what_it_cannot_start():
    process = spawn("p", ["/does/not/exist"], {})
    said = converse(process, b"", timeout=PATIENCE, redactor=Redactor())
    assert said.exit_code not in (None, 0)
    assert "/does/not/exist" in str(said.tail)


def test_killing_a_provider_kills_what_it_has_started():
    process = spawn("p", ["/bin/sh", "-c", "sleep 1000 & echo $!; wait"], {"PATH": os.environ["PATH"]})
    child = int(os.read(process.stdout, 100))
    process.kill()
    assert process.wait(5) == -signal.SIGKILL
    assert gone(child)
    process.close()


def test_what_a_provider_leaves_behind_is_killed_when_it_ends():
    process = spawn("p", ["/bin/sh", "-c", "sleep 1000 & echo $!"], {"PATH": os.environ["PATH"]})
    child = int(os.read(process.stdout, 100))
    assert process.wait(5) == 0
    assert gone(child)
    process.close()


def test_a_process_is_named_by_pid_and_start_time():
    process = spawn("p", ["/bin/sleep", "100"], {})
    assert process.started == start_time(process.pid)
    process.close()
    assert not alive(process.pid, process.started)


HOST = """
import os, sys, time
from dstream.plugins.process import spawn
process = spawn("p", ["/bin/sh", "-c", "trap '' TERM HUP; sleep 1000 & echo $!; wait"], {"PATH": os.environ["PATH"]})
print(process.pid, os.read(process.stdout, 100).decode().strip(), flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_providers_and_their_children_end_with_the_host(how):
    host = subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True, env={
        **os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})  # fmt: skip
    provider, child = map(int, host.stdout.readline().split())
    host.send_signal(how)
    host.wait()
    assert gone(provider)
    assert gone(child)


def test_an_exit_is_described_in_words():
    assert describe_exit(3) == "ended with exit code 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
