"""Fork servers: a session that was forked is what a process of its own is, and the server leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys

import pytest

from dstream.plugins import ProviderSource, resolve
from dstream.plugins.fork_server import ForkServer
from dstream.plugins.one_shot import converse
from dstream.plugins.process import begin_binary
from dstream.plugins.redact import Redactor
from dstream_state.processes import alive
from tests.events import PATIENCE, until
from tests.services.shebang import shebang

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked"),
]

LOADING = """
import json, os, signal, sys, threading, time
from dataclasses import dataclass
from dstream_sdk import Input, Provider, ProviderError, log, main, setting
"""
PROVIDER = """
@dataclass
class Settings:
    do: str = ""

class Doing(Input[Settings]):
    def run(self, config, session):
        exec(config.do)

main(Provider("p", "1", input=Doing()))
"""
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/h", "NAMED": "yes"}


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts a fork server of a provider that does what its configuration says."""

    def start(loading=""):
        script = tmp_path / "provider.py"
        script.write_text(f"{shebang()}{LOADING}\n{loading}\n{PROVIDER}")
        script.chmod(0o755)
        binary = resolve(ProviderSource("path", "provider.py"), tmp_path, "input")
        server = ForkServer(binary, "input", ENVIRONMENT, Redactor())
        started.append(server)
        return server

    started = []
    yield start
    for each in started:
        each.close()


def opening(do):
    form = {"command": "run", "protocol": 2, "role": "input", "task": "t", "acks": False, "config": {"do": do}}
    return json.dumps(form).encode() + b"\n"


def told(process, do):
    """Let a session do something; return the conversation."""
    return converse(process, opening(do), timeout=PATIENCE, redactor=Redactor())


def said(process, expression):
    """Return the value of an expression in a session."""
    return json.loads(told(process, f"session.emit({{'it': {expression}}})").lines[1])["data"]["it"]


def stay(process):
    """Let a session wait for its end, and return when it does."""
    os.write(process.stdin, opening("session.emit({}); session.flush(); time.sleep(1000)"))
    until(lambda: os.read(process.stdout, 1000).endswith(b"}\n"), "the session to run")
    return process


def server_pid(server):
    return server._starting.result().pid


def gone(pid):
    return until(lambda: not alive(pid, None), f"process {pid} to be gone")


def test_a_session_leads_a_group_of_its_own_and_has_no_descriptors_but_its_own(serve, tmp_path):
    server = serve()
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    other = stay(server.begin().result())
    fds = "/proc/self/fd"
    links = f"[os.readlink(f'{fds}/{{n}}') for n in os.listdir('{fds}') if os.path.exists(f'{fds}/{{n}}')]"
    found = said(server.begin([lock]).result(), f"[os.getpid(), os.getpgid(0), os.getsid(0), {links}]")
    assert found[0] == found[1] == found[2] != server_pid(server)
    alone = said(server.begin().result(), links)
    assert [link for link in found[3] if "lock" in link] == [str(tmp_path / "lock")]
    assert not [link for link in alone if "lock" in link]
    # Standard input at /dev/null, the three pipes, and the pipe that wakes: no socket, and no pipe of `other`.
    theirs = {os.readlink(f"/proc/{other.pid}/fd/{n}") for n in os.listdir(f"/proc/{other.pid}/fd")} - {"/dev/null"}
    assert not theirs & set(alone)
    assert not [link for link in alone if link.startswith("socket:")]
    other.close()


def test_a_session_has_the_environment_of_the_server_and_fresh_random_numbers(serve):
    server = serve("import random, uuid")
    found = [said(server.begin().result(), "[dict(os.environ), random.random(), str(uuid.uuid4())]") for _ in range(2)]
    assert found[0][0]["NAMED"] == "yes"
    assert "PYTEST_CURRENT_TEST" not in found[0][0]
    assert found[0][1] != found[1][1]
    assert found[0][2] != found[1][2]


ENDS = [
    ("pass", 0, ""),
    ("raise ProviderError('No such table', 'orders')", 1, "No such table"),
    ("raise ValueError('of the library')", 1, "ValueError: of the library"),
    ("os._exit(7)", 7, ""),
    ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, ""),
    ("os.kill(os.getpid(), signal.SIGTERM); session.wait(100)", 0, ""),
    ("threading.Thread(target=lambda: 1 / 0).start(); time.sleep(1000)", 1, "division by zero"),
    ("log('by hand'); print('by print')", 0, "by hand\nby print"),
]


def test_a_session_ends_with_the_code_and_the_words_of_a_process_of_its_own(serve):
    server = serve()
    for do, code, text in ENDS:
        for start in (server.begin, lambda: begin_binary(server._binary, environment=ENVIRONMENT)):
            found = told(start().result(), do)
            assert (do, found.exit_code) == (do, code)
            assert text in str(found.tail)


def test_killing_a_session_kills_what_it_has_started_and_no_other(serve):
    server = serve()
    one, two = stay(server.begin().result()), server.begin().result()
    os.write(two.stdin, opening("import subprocess; print(subprocess.Popen(['sleep', '1000']).pid); time.sleep(1000)"))
    child = int(os.read(two.stderr, 100))
    two.kill()
    assert two.wait(PATIENCE) == -signal.SIGKILL
    assert gone(child)
    assert one.poll() is None
    assert said(server.begin().result(), "1") == 1
    for each in (one, two):
        each.close()


def test_what_a_session_leaves_behind_is_killed_when_it_ends(serve):
    process = serve().begin().result()
    found = told(process, "import subprocess; session.emit({'it': subprocess.Popen(['sleep', '1000']).pid})")
    assert found.exit_code == 0
    assert gone(json.loads(found.lines[1])["data"]["it"])


def test_the_sessions_of_a_server_that_dies_are_killed_and_later_ones_start_without_it(serve):
    server = serve()
    process = stay(server.begin().result())
    os.kill(server_pid(server), signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert not alive(process.pid, process.started)
    assert said(server.begin().result(), "os.getppid()") == os.getpid()
    process.close()


@pytest.mark.parametrize(
    ("loading", "reason"),
    [
        ("threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()", "1 thread"),
        ("import socket; kept = socket.socket()", "socket:["),
        ("kept = open('/dev/null')", "/dev/null"),
    ],
)
def test_a_provider_that_opens_something_while_it_loads_is_not_forked(serve, loading, reason, monkeypatch):
    notes = []
    monkeypatch.setattr("dstream.plugins.fork_server.note", lambda _level, _name, text: notes.append(text))
    assert said(serve(loading).begin().result(), "os.getppid()") == os.getpid()
    assert reason in notes[0]


def test_a_provider_that_does_not_know_fork_servers_is_started_as_usual(serve):
    server = serve("import dstream_sdk.program as program; program._fork_server = None")
    assert said(server.begin().result(), "os.getppid()") == os.getpid()


def test_what_loading_writes_is_at_the_start_of_the_log_of_each_session(serve):
    server = serve("log('deprecated: everything')")
    for _ in range(2):
        assert "deprecated: everything" in str(told(server.begin().result(), "pass").tail)


def test_a_server_releases_the_pids_of_ended_sessions(serve):
    server = serve()
    pids = [said(server.begin().result(), "os.getpid()") for _ in range(3)]
    for pid in pids:
        until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), "the process to be reaped")


HOST = """
import os, sys, time
from pathlib import Path
from dstream.plugins import ProviderSource, resolve
from dstream.plugins.fork_server import ForkServer
from dstream.plugins.redact import Redactor
folder, line = Path(sys.argv[1]), sys.argv[2].encode() + b"\\n"
binary = resolve(ProviderSource("path", "provider.py"), folder, "input")
server = ForkServer(binary, "input", {"PATH": os.environ["PATH"]}, Redactor())
pids = [server._starting.result().pid]
for _ in range(2):
    process = server.begin().result()
    os.write(process.stdin, line)
    pids += [process.pid, int(os.read(process.stderr, 100))]
print(*pids, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_server_sessions_and_their_children_end_with_the_host(serve, tmp_path, how):
    serve()
    do = (
        "import subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(subprocess.Popen(['sleep', '1000'], stdin=0, stdout=2).pid); time.sleep(1000)"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(tmp_path), opening(do).decode().strip()], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})  # fmt: skip
    pids = [int(pid) for pid in host.stdout.readline().split()]
    assert len(pids) == 5
    host.send_signal(how)
    host.wait()
    for pid in pids:
        assert gone(pid)
