"""The committer: dead letters, store, commit, in this order; the newest only."""

import os
import select
import threading
import time
from pathlib import Path

import pytest

from dstream.run.checkpoint_tracker import CheckpointTracker, ProtocolBroken
from dstream.run.committer import Committer, parse_reject
from dstream.run.end_reason import SessionOver
from dstream_state import Checkpoint, open_backend
from tests.events import PATIENCE, until


class Story:
    """A lease that notes what happens in which order."""

    def __init__(self, lease, events):
        self.lease, self.events = lease, events
        self.dead_letters = self
        self.checkpoint = lease.checkpoint

    def store(self, checkpoint):
        self.lease.store(checkpoint)
        self.events.append(("stored", checkpoint.position["p"]))

    def append(self, letters):
        self.lease.dead_letters.append(letters)
        self.events.append(("letters", len(letters)))


@pytest.fixture
def parts(tmp_path):
    with open_backend("memory", {}, root=tmp_path).task("t").acquire("run") as lease:
        read, write = os.pipe()
        events, tracker = [], CheckpointTracker()
        committer = Committer(
            tracker, Story(lease, events), Checkpoint({}, "task.t"), interval=0.0, on_stored=lambda sent: None,
            max_dead_letters=2,
        )  # fmt: skip
        committer.attach(write)
        yield tracker, committer, lease, events, read
        os.close(read)


def send(tracker, *numbers):
    for number in numbers:
        tracker.sent(b'{"checkpoint":{"p":%d},"n":%d}' % (number, number), number)


def acknowledge(tracker, number):
    tracker.acknowledged(b'{"checkpoint":{"p":%d},"n":%d}' % (number, number))


def test_dead_letters_come_before_the_checkpoint_that_covers_them_and_the_commit_last(parts):
    tracker, committer, lease, events, read = parts
    send(tracker, 1, 2, 3)
    committer.reject(b'{"reject":{"envelope":{"data":{"a":1.0}},"reason":"no"}}')
    acknowledge(tracker, 2)
    acknowledge(tracker, 3)
    committer.close()
    committer.run()
    assert events == [("letters", 1), ("stored", 3)]
    assert os.read(read, 1000) == b'{"committed":{"n":3,"checkpoint":{"p":3}}}\n'
    assert lease.checkpoint.position == {"p": 3}
    (key,) = lease.dead_letters.list()
    assert lease.dead_letters.read(key).envelope == b'{"data":{"a":1.0}}'


def test_more_dead_letters_than_allowed_end_the_session_once_they_are_durable(parts):
    _, committer, lease, _, _ = parts
    for number in range(3):
        committer.reject(b'{"reject":{"envelope":{"data":{"n":%d}},"reason":"no"}}' % number)
    with pytest.raises(SessionOver) as over:
        committer.keep_letters()
    assert (over.value.failure.diagnostics[0].summary, over.value.failure.final) == ("Too many dead letters", True)
    assert len(lease.dead_letters.list()) == 3


def test_an_input_that_does_not_read_does_not_stop_the_host_and_gets_whole_lines(parts):
    tracker, committer, lease, _, read = parts
    thread = threading.Thread(target=committer.run)
    thread.start()
    count = 0
    while count < 4000:
        count += 1
        send(tracker, count)
        acknowledge(tracker, count)
        committer.notify()
        if count % 100 == 0:
            time.sleep(0.001)
    until(lambda: lease.checkpoint is not None and lease.checkpoint.position["p"] >= 4000, "the last checkpoint")
    assert lease.checkpoint.position["p"] == 4000
    got = b""
    while not got.endswith(b'"p":4000}}}\n'):
        assert select.select([read], [], [], PATIENCE)[0]
        got += os.read(read, 1 << 16)
    committer.close()
    thread.join()
    assert got.endswith(b'{"committed":{"n":4000,"checkpoint":{"p":4000}}}\n')
    for line in got.splitlines():
        assert line.startswith(b'{"committed":{"n":')
        assert line.endswith(b"}}}")


def test_checkpoints_that_pile_up_are_stored_once(tmp_path, parts):
    tracker, committer, _, events, _ = parts
    committer._interval = 1000.0
    thread = threading.Thread(target=committer.run)
    thread.start()
    send(tracker, *range(1, 101))
    for number in range(1, 101):
        acknowledge(tracker, number)
        committer.notify()
    committer.close()
    thread.join()
    assert events[-1] == ("stored", 100)
    assert len(events) <= 2


@pytest.mark.parametrize(
    ("line", "envelope", "reason"),
    [
        (b'{"reject":{"envelope":{"data":{"a":1.10}},"reason":"r"}}', b'{"data":{"a":1.10}}', "r"),
        (b'{"reject":{"reason":"r","envelope":{"data":{}}}}', b'{"data":{}}', "r"),
        (b'{"reject":{"envelope":"not json","reason":"r"}}', b"not json", "r"),
        (b'{"reject":{"envelope":{"data":{}}}}', b'{"data":{}}', "no reason given"),
        ('{"reject":{"envelope":{"data":{"ö":"}"}},"reason":"ü"}}'.encode(), '{"data":{"ö":"}"}}'.encode(), "ü"),
    ],
)
def test_an_envelope_is_kept_byte_by_byte(line, envelope, reason):
    assert parse_reject(line) == (envelope, reason)


@pytest.mark.parametrize("line", [b'{"reject":{"reason":"r"}}', b'{"reject":', b'{"reject":5}'])
def test_a_reject_of_another_form_breaks_the_protocol(line):
    with pytest.raises(ProtocolBroken):
        parse_reject(line)


def test_nothing_else_in_the_package_writes_committed_lines():
    package = Path(__file__).parents[3] / "dstream" / "run"
    writers = [path.name for path in package.glob("*.py") if '{"committed"' in path.read_text()]
    assert writers == ["committer.py"]
