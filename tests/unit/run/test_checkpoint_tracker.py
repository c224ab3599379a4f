"""The checkpoint tracker: only what was sent can come back, and only upwards."""

import pytest

from dstream.run.checkpoint_tracker import CheckpointTracker, ProtocolBroken


def line(number, position='{"p":1}'):
    return f'{{"checkpoint":{position},"n":{number}}}'.encode()


def filled(count=5):
    tracker = CheckpointTracker()
    for number in range(1, count + 1):
        tracker.sent(line(number, f'{{"p":{number}}}'), number * 10)
    return tracker


def test_the_newest_acknowledgement_is_what_is_stored():
    tracker = filled()
    tracker.acknowledged(line(1, '{"p":1}'))
    tracker.acknowledged(line(4, '{"p":4}'))
    taken = tracker.take()
    assert (taken.number, taken.position, taken.records) == (4, {"p": 4}, 40)
    assert tracker.take() is None
    assert tracker.outstanding == 1
    assert not tracker.all_acknowledged


def test_an_acknowledgement_may_be_written_in_other_json():
    tracker = filled()
    tracker.acknowledged(b'{"checkpoint": {"p": 2}, "n": 2}\r')
    assert tracker.take().line == line(2, '{"p":2}')


@pytest.mark.parametrize(
    ("acknowledged", "says"),
    [
        (line(6), "never sent"),
        (line(2, '{"p":99}'), "another position"),
        (b'{"checkpoint":{"p":1}}', "without a number"),
        (b'{"checkpoint":', "without a number"),
        (line(0), "must rise"),
    ],
)
def test_other_acknowledgements_are_refused(acknowledged, says):
    with pytest.raises(ProtocolBroken, match=says) as problem:
        filled().acknowledged(acknowledged)
    assert problem.value.side == "output"


def test_numbers_must_rise():
    tracker = filled()
    tracker.acknowledged(line(3, '{"p":3}'))
    for number in (3, 2):
        with pytest.raises(ProtocolBroken, match="must rise"):
            tracker.acknowledged(line(number, f'{{"p":{number}}}'))


@pytest.mark.parametrize("wrong", [line(2), line(0), b'{"checkpoint":{}}', line(1, '{"p":"' + "x" * 70_000 + '"}')])
def test_an_input_has_to_count_and_to_be_brief(wrong):
    with pytest.raises(ProtocolBroken) as problem:
        CheckpointTracker().sent(wrong, 0)
    assert problem.value.side == "input"


@pytest.mark.parametrize("depth", [65, 300, 900, 5000])
def test_a_checkpoint_that_could_not_be_written_again_is_refused(depth):
    deep = line(1, '{"p":' + "[" * depth + "]" * depth + "}")
    tracker = CheckpointTracker()
    tracker.sent(deep, 1)
    with pytest.raises(ProtocolBroken):
        tracker.acknowledged(deep)
    assert tracker.take() is None
