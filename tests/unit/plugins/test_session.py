"""Resource sessions: pipelined, in any order, with limits, and clear when the provider fails."""

import threading

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.plugins import ProviderInfo, Request, ResourceSession, session
from dstream.plugins.session_options import SessionOptions
from dstream.plugins.wire import encode
from tests.events import until

pytestmark = pytest.mark.processes

INFO = ProviderInfo(2, "p", "1", frozenset({"resource"}))
READY = """
def say(**form):
    sys.stdout.write(json.dumps(form) + "\\n"); sys.stdout.flush()
opening = json.loads(sys.stdin.readline())
sys.stderr.write("password is hunter2\\n"); sys.stderr.flush()
say(status="ready", protocol=2)
"""


class Answers:
    """Collects answers, and waits for them."""

    def __init__(self):
        self.got = []
        self.changed = threading.Condition()

    def __call__(self, answer):
        with self.changed:
            self.got.append(answer)
            self.changed.notify_all()

    def wait(self, count=1, seconds=20):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, seconds), self.got
        return self.got


@pytest.fixture
def start(python):
    running = []

    def make(body, **options):
        binary = python(READY + body)
        running.append(
            ResourceSession(binary, INFO, {"secret": "hunter2"}, SessionOptions(redact=("hunter2",), **options))
        )
        return running[-1]

    yield make
    for each in running:
        each.kill()


def test_answers_may_come_in_any_order(start):
    serving = start("""
requests = [json.loads(sys.stdin.readline()) for _ in range(5)]
for request in reversed(requests):
    say(id=request["id"], status="ok", identity={"key": request["key"]}, attributes={"n": 1})
""")
    found = {}
    done = Answers()
    for key in "abcde":
        serving.submit(Request("status", "t", key), lambda answer, key=key: (found.update({key: answer}), done(answer)))
    done.wait(5)
    assert {key: answer.identity["key"] for key, answer in found.items()} == {key: key for key in "abcde"}


def test_no_more_than_the_limit_are_on_their_way(start):
    serving = start("""
import select
rest, left = "", 40
while left:
    lines = []
    # All that may be on their way, and then for a moment what should not be.
    while len(lines) < min(left, 16) or select.select([0], [], [], 0.1)[0]:
        *more, rest = (rest + os.read(0, 1 << 20).decode()).split("\\n")
        lines += [json.loads(line) for line in more]
    left -= len(lines)
    for line in lines: say(id=line["id"], status="ok", attributes={"together": len(lines)})
""")
    done = Answers()
    for number in range(40):
        serving.submit(Request("status", "t", str(number)), done)
    together = [answer.attributes["together"] for answer in done.wait(40)]
    assert sorted(together) == [8] * 8 + [16] * 32


def test_both_sides_write_while_they_read(start):
    serving = start("""
for line in sys.stdin:
    request = json.loads(line)
    say(id=request["id"], status="ok", attributes={"echo": request["desired"]})
""", max_in_flight=1000)  # fmt: skip
    done = Answers()
    big = "x" * 100_000
    for _ in range(50):
        serving.submit(Request("init", "t", "k", desired=big), done)
    assert all(answer.attributes["echo"] == big for answer in done.wait(50))


def test_progress_comes_before_the_answer(start):
    serving = start("""
request = json.loads(sys.stdin.readline())
say(id=request["id"], status="progress", message="half of hunter2")
say(id=request["id"], status="ok")
sys.stdin.read()
""")
    done, progress = Answers(), Answers()
    serving.submit(Request("init", "t", "k"), done, progress)
    assert done.wait()[0].status == "ok"
    assert progress.got[0].text == "half of (sensitive value)"


def test_a_secret_in_the_text_that_was_sent_is_blotted_out_by_itself(start):
    serving = start(
        """
request = json.loads(sys.stdin.readline())
said = {"severity": "error", "summary": "Failed", "detail": "got t0ken, not other"}
say(id=request["id"], status="error", diagnostics=[said])
sys.stdin.read()
""",
        within=lambda texts: {each for each in ("t0ken", "other") if any(each in text for text in texts)},
    )
    done = Answers()
    serving.submit(Request("init", "t", "k", desired={"run": "echo t0ken"}, sensitive=[["run"]]), done)
    assert done.wait()[0].diagnostics[0].detail == "got (sensitive value), not other"


def test_a_crash_answers_everything_that_is_outstanding(start):
    serving = start("""
sys.stdin.readline(); sys.stdin.readline()
sys.exit(3)
""", max_in_flight=2)  # fmt: skip
    done = Answers()
    for key in "abcd":
        serving.submit(Request("init", "queue", key), done)
    answers = done.wait(4)
    # Two were on their way, so that nobody knows what became of them; of the others the process never heard.
    assert [(answer.crashed, answer.sent) for answer in answers] == [(True, True)] * 2 + [(False, False)] * 2
    for answer in answers:
        assert (answer.status, answer.error_class) == ("error", "fatal")
        (diagnostic,) = answer.diagnostics
        assert "ended with exit code 3" in diagnostic.detail
        assert "password is (sensitive value)" in diagnostic.detail
        assert "init queue" in diagnostic.detail
    late = Answers()
    serving.submit(Request("init", "queue", "z"), late)
    assert not late.wait()[0].sent


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        ("print('hello', flush=True); time.sleep(100)", "Provider protocol violation"),
        ('sys.stdin.readline(); os.write(1, b\'{"id":1,"sta\'); sys.exit(1)', "Incomplete line from provider"),
        ("sys.stdin.readline(); say(status='ok')", "Provider protocol violation"),
    ],
)
def test_what_is_no_answer_is_an_error(start, body, summary):
    done = Answers()
    start(body).submit(Request("status", "t", "k"), done)
    (answer,) = done.wait()
    assert answer.crashed
    assert answer.diagnostics[0].summary == summary


def test_an_unknown_status_fails_its_request_alone(start):
    serving = start("""
for line in sys.stdin:
    request = json.loads(line)
    say(id=request["id"], status="perhaps" if request["key"] == "a" else "ok", unknown={"member": 1})
""")
    done = Answers()
    serving.submit(Request("status", "t", "a"), done)
    serving.submit(Request("status", "t", "b"), done)
    assert [answer.status for answer in done.wait(2)] == ["error", "ok"]
    assert not done.got[0].crashed


def test_errors_carry_class_and_diagnostics(start):
    serving = start("""
request = json.loads(sys.stdin.readline())
say(id=request["id"], status="error", identity={"name": "n"}, diagnostics=[
    {"severity": "warning", "summary": "Slow"},
    {"summary": "Throttled", "detail": "hunter2", "class": "retriable", "retry_after": 2.5}])
sys.stdin.read()
""")
    done = Answers()
    serving.submit(Request("init", "t", "k"), done)
    (answer,) = done.wait()
    assert (answer.error_class, answer.retry_after, answer.identity) == ("retriable", 2.5, {"name": "n"})
    assert [each.summary for each in answer.diagnostics] == ["Slow", "Throttled"]
    assert "hunter2" not in answer.diagnostics[1].detail


def test_an_overdue_answer_ends_the_process(start, monkeypatch):
    monkeypatch.setattr(session, "GRACE_SECONDS", 0.2)
    serving = start("sys.stdin.readline(); time.sleep(1000)")
    done = Answers()
    serving.submit(Request("destroy", "t", "k", timeout=0.2), done)
    (answer,) = done.wait()
    assert answer.crashed
    assert answer.diagnostics[0].summary == "No response from provider"
    assert "destroy t k" in answer.diagnostics[0].detail


def test_a_crash_tells_whether_the_time_of_a_request_was_over(start):
    serving = start("""
first, second, third = (json.loads(sys.stdin.readline()) for _ in range(3))
sys.exit(70)
""")
    answers = {}
    done = Answers()
    for key, timeout in (("short", 1e-9), ("long", 1000), ("none", None)):
        request = Request("init", "t", key, timeout=timeout)
        serving.submit(request, lambda answer, key=key: (answers.update({key: answer}), done(answer)))
    done.wait(3)
    assert {key: (answer.crashed, answer.late) for key, answer in answers.items()} == {
        "short": (True, True),
        "long": (True, False),
        "none": (True, False),
    }


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        ("exit 7", "Unexpected provider exit"),
        ("printf '{\"status\":'; exit 0", "Incomplete line from provider"),
        ("echo Welcome!; sleep 100", "Provider protocol violation"),
        ("exec sleep 100", "No response from provider"),
        ('echo \'{"status":"error","diagnostics":[{"summary":"No such server"}]}\'', "No such server"),
    ],
)
def test_a_provider_that_never_gets_ready_is_explained(shell, body, summary):
    patience = 0.5 if summary == "No response from provider" else 60
    serving = ResourceSession(shell(f"echo reason >&2; {body}"), INFO, {}, SessionOptions(start_timeout=patience))
    done = Answers()
    serving.submit(Request("status", "t", "k"), done)
    (answer,) = done.wait()
    assert answer.diagnostics[0].summary == summary
    with pytest.raises(DiagnosticsError) as problem:
        serving.ready()
    assert problem.value.diagnostics == answer.diagnostics


def test_closing_lets_the_provider_finish_what_is_outstanding(start, tmp_path):
    serving = start("""
pending = []
for line in sys.stdin:
    pending.append(json.loads(line))
    say(id=pending[-1]["id"], status="progress")
for request in pending: say(id=request["id"], status="ok")
open(sys.argv[0] + ".finished", "w").close()
""", max_in_flight=3)  # fmt: skip
    done, taken = Answers(), Answers()
    for key in "abc":
        serving.submit(Request("destroy", "t", key), done, taken)
    taken.wait(3)
    serving._exchange.finish()  # as when the host closes stdin without waiting
    assert [answer.status for answer in done.wait(3)] == ["ok"] * 3
    serving.close()
    assert (tmp_path / "provider.py.finished").exists()


def test_closing_waits_for_answers(start, tmp_path):
    serving = start("""
for line in sys.stdin:
    while not os.path.exists(sys.argv[0] + ".answer"): time.sleep(0.01)
    say(id=json.loads(line)["id"], status="ok")
""")
    done = Answers()
    serving.submit(Request("destroy", "t", "k"), done)
    closing = threading.Thread(target=serving.close)
    closing.start()
    until(lambda: serving._closing, "the session to be closing")
    assert not done.got
    (tmp_path / "provider.py.answer").touch()
    closing.join()
    assert [answer.status for answer in done.got] == ["ok"]
    refused = Answers()
    serving.submit(Request("destroy", "t", "k"), refused)
    assert refused.wait()[0].status == "error"


def test_the_process_is_known_before_it_is_told_anything(python, tmp_path):
    binary = python("""
line = sys.stdin.readline()
open(sys.argv[0] + ".told", "w").write(line)
""")
    seen = []
    told_file = tmp_path / "provider.py.told"
    serving = ResourceSession(
        binary,
        INFO,
        {},
        SessionOptions(on_start=lambda pid, started: seen.append((pid, started, told_file.exists()))),
    )
    with pytest.raises(DiagnosticsError):
        serving.ready()
    ((pid, started, told),) = seen
    assert pid > 0
    assert started
    assert not told


def test_cancel_reaches_the_provider(start):
    serving = start("""
request = json.loads(sys.stdin.readline())
say(id=request["id"], status="progress")
cancel = json.loads(sys.stdin.readline())
same = str(cancel["id"] == request["id"])
say(id=request["id"], status="error", diagnostics=[{"summary": cancel["command"], "detail": same}])
sys.stdin.read()
""")
    done = Answers()
    taken = Answers()
    serving.submit(Request("init", "t", "k"), done, taken)
    taken.wait()
    serving.cancel()
    (answer,) = done.wait()
    assert [(each.summary, each.detail) for each in answer.diagnostics] == [("cancel", "True")]


def test_killing_answers_with_a_crash(start):
    serving = start("sys.stdin.readline(); time.sleep(1000)")
    done = Answers()
    serving.submit(Request("init", "t", "k"), done)
    serving.ready()
    serving.kill()
    assert done.wait()[0].crashed


def test_numbers_travel_exactly():
    from decimal import Decimal

    assert encode({"a": Decimal("1.10"), "b": 10**30}) == b'{"a":1.10,"b":1000000000000000000000000000000}\n'
