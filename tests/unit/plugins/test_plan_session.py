"""One process plans for many tasks; a fault of it concerns only the task that met it."""

import threading

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.plugins import PlanRequest, PlanSession, ProviderInfo

pytestmark = pytest.mark.processes

INFO = ProviderInfo(2, "p", "1", frozenset({"output"}), frozenset({"plans_many"}))
PROVIDER = """
with open(sys.argv[0] + ".starts", "a") as starts:
    starts.write("x")

def say(**line):
    print(json.dumps(line, separators=(",", ":")), flush=True)

def end(task, **more):
    say(**more, resource={"type": "t", "key": task, "attributes": {}})
    say(**more, status="done")

opening = json.loads(sys.stdin.readline())
if opening["command"] == "plan":
    alone(opening["task"])
    sys.exit()
READY
held = []
for line in sys.stdin:
    request = json.loads(line)
    serve(request, request["id"], request["task"])
"""
ALONE = "def alone(task): end(task)\n"
READY = 'say(status="ready", protocol=2)'


@pytest.fixture
def plans(python, tmp_path):
    """Return a function that starts a session with a provider; `starts` in it counts the processes."""

    def start(serve, alone=ALONE, ready=READY, timeout=60.0):
        binary = python(f"{alone}\n{serve}\n" + PROVIDER.replace("READY", ready), role="output")
        session = PlanSession(binary, INFO, "output", timeout)
        started.append(session)
        return session

    started = []
    yield start
    for each in started:
        each.close()


def together(session, *tasks, **more):
    """Return the results and errors of several requests that are made at the same time, by task."""
    found = {}

    def ask(task):
        try:
            found[task] = session.derive(PlanRequest(task, {}, [], **more))
        except DiagnosticsError as problem:
            found[task] = problem

    threads = [threading.Thread(target=ask, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def keys(found):
    return {task: [each.key for each in result.resources] for task, result in found.items()}


def starts(tmp_path):
    return len((tmp_path / "provider.py.starts").read_text())


def test_answers_reach_those_who_asked_whatever_their_order(plans, tmp_path):
    # The lines of all answers are mixed, and the last request is answered first.
    serve = """
def serve(request, number, task):
    held.append((number, task))
    if len(held) == 5:
        for number, task in reversed(held):
            say(id=number, resource={"type": "t", "key": task, "attributes": {}})
        for number, task in held:
            say(id=number, status="done")
"""
    tasks = ("a", "b", "c", "d", "e")
    assert keys(together(plans(serve), *tasks)) == {task: [task] for task in tasks}
    assert starts(tmp_path) == 1


def test_an_error_and_a_deferred_answer_concern_one_task(plans, tmp_path):
    serve = """
def serve(request, number, task):
    if task == "bad":
        say(id=number, status="error", diagnostics=[{"summary": "No such table", "class": "invalid"}])
    elif task == "later":
        say(id=number, status="deferred", needs=["config.a"])
    else:
        end(task, id=number)
"""
    found = together(plans(serve), "good", "bad", "later")
    assert [each.summary for each in found.pop("bad").diagnostics] == ["No such table"]
    assert found.pop("later").deferred == ("config.a",)
    assert keys(found) == {"good": ["good"]}
    assert starts(tmp_path) == 1


@pytest.mark.parametrize(
    "fault",
    [
        "os._exit(3)",
        "print('Hello', flush=True)",
        "say(id=99, status='done')",
        "say(id=number, status='whatever')",
        "say(id=number, resource={'type': 't'})",
        "say(status='done')",
    ],
)
def test_a_session_that_breaks_plans_each_open_task_in_a_process_of_its_own(plans, fault):
    serve = f"""
def serve(request, number, task):
    held.append(task)
    if len(held) == 3:
        {fault}
"""
    alone = """
def alone(task):
    print("password is hunter2", file=sys.stderr)
    if task == "bad":
        sys.exit(4)
    end(task)
"""
    session = plans(serve, alone)
    found = together(session, "a", "bad", "c", redact=("hunter2",))
    (problem,) = found.pop("bad").diagnostics
    assert problem.summary == "Unexpected provider exit"
    assert "password is (sensitive value)" in problem.detail
    assert keys(found) == {"a": ["a"], "c": ["c"]}
    assert keys(together(session, "d")) == {"d": ["d"]}


def test_one_that_never_answers_is_named_and_the_others_are_planned(plans):
    serve = """
def serve(request, number, task):
    if task != "hangs":
        end(task, id=number)
"""
    session = plans(serve, timeout=1.0)
    found = together(session, "a", "hangs", "c")
    assert [each.summary for each in found.pop("hangs").diagnostics] == ["No response from provider"]
    assert keys(found) == {"a": ["a"], "c": ["c"]}


@pytest.mark.parametrize("ready", ["os._exit(0)", "say(status='error', diagnostics=[])", "print('Hello', flush=True)"])
def test_a_provider_that_is_not_ready_to_serve_plans_one_by_one(plans, ready):
    session = plans("def serve(*_): pass", ready=ready)
    assert keys(together(session, "a", "b")) == {"a": ["a"], "b": ["b"]}


def test_at_most_sixteen_requests_are_without_an_answer(plans, tmp_path):
    serve = """
def serve(request, number, task):
    held.append((number, task))
    if len(held) > 16:
        say(status="too many")
    if len(held) == 16 or task == "last":
        for each in range(len(held)):
            end(held[each][1], id=held[each][0])
        held.clear()
"""
    tasks = [str(each) for each in range(32)]
    assert len(together(plans(serve), *tasks)) == 32
    assert starts(tmp_path) == 1
