"""Rules about what an output has made durable: R30, R33, R35 and R36. They need a view of the sink, see `SinkView`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dstream.plugins.conformance.result import Departed, Result, Skipped, check, require
from dstream.plugins.conformance.sink_view import SinkView, text_of
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.conformance.wire_records import END, checkpoint, envelope
from dstream.plugins.wire import decode_object

_SECONDS = 20.0
_ACKNOWLEDGEMENT, _REJECT = b'{"checkpoint":', b'{"reject":'
_LONG = 60_000
"""Bytes of a position that does not fit into the pipe of an output that is held up."""
_GARBAGE = f"{text_of(5000)}, which is not JSON"


def check_delivery(opened: Callable[[], Talk], view: SinkView) -> Iterator[Result]:
    """Check an output that acknowledges; `opened` starts it."""
    yield check("R30", lambda: _durable(opened, view))
    yield check("R33", lambda: _finished(opened, view), "sink")
    yield check("R35", lambda: _no_half_record(opened, view), "sink")
    yield check("R36", lambda: _rejects(opened, view))


def _durable(opened: Callable[[], Talk], view: SinkView) -> None:
    """Look at the sink while the output is held up in its acknowledgement: the records have to be there by then."""
    view.missing(())
    for start in (1000, 2000):
        numbers = range(start, start + 40)
        with opened() as talk:
            talk.hold()
            talk.send(*map(envelope, numbers), checkpoint(1, pad=_LONG))
            if not talk.answers_unread(_SECONDS):
                raise Departed(f"it had not acknowledged after {_SECONDS:g} s without more data{talk.why()}")
            view.require(numbers, "when it began to write its acknowledgement")
            talk.kill()
        view.require(numbers, "after it had acknowledged and was killed")


def _finished(opened: Callable[[], Talk], view: SinkView) -> None:
    view.missing(())
    numbers = range(3000, 3040)
    with opened() as talk:
        talk.send(*map(envelope, numbers), checkpoint(1), END)
        talk.rest(_SECONDS)
    view.require(numbers, "after the end line")


def _no_half_record(opened: Callable[[], Talk], view: SinkView) -> None:
    with opened() as talk:
        talk.send(envelope(4000), checkpoint(1), envelope(4001)[:-3])
        talk.close_input()
        talk.rest(_SECONDS)
    require(view.missing([4001]) == [4001], "a record whose line was not finished is in the sink")


def _rejects(opened: Callable[[], Talk], view: SinkView) -> None:
    with opened() as talk:
        talk.send(envelope(5001), _GARBAGE.encode() + b"\n", envelope(5002), checkpoint(1), END)
        answers = talk.rest(_SECONDS)
    acknowledged = next((at for at, line in enumerate(answers) if line.startswith(_ACKNOWLEDGEMENT)), None)
    rejected = [at for at, line in enumerate(answers) if line.startswith(_REJECT)]
    if acknowledged is None:
        raise Skipped("it ends at a record that is not JSON, instead of rejecting it")
    require(all(at < acknowledged for at in rejected), "a reject comes after the acknowledgement that covers it")
    for at in rejected:
        form = (decode_object(answers[at]) or {}).get("reject")
        require(isinstance(form, dict) and "envelope" in form, f"it rejects no envelope: {answers[at][:200]!r}")
    if any(text_of(5000).encode() in answers[at] for at in rejected):
        return
    if view.known and view.missing([5000]):
        raise Departed("a record that is not JSON is neither in the sink nor rejected, and was acknowledged")
    if not view.known:
        raise Skipped("it rejects none of the kit's records; with -verify the kit sees whether they arrived")
