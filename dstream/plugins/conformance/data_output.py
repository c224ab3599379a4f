"""Rules about an output that runs: R31 to R38, with envelopes of a table `conformance`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.plugins.binary import Binary
from dstream.plugins.conformance.delivery import check_delivery
from dstream.plugins.conformance.opening import opening_line
from dstream.plugins.conformance.planning import STREAM
from dstream.plugins.conformance.result import Departed, Result, Skipped, check, require
from dstream.plugins.conformance.sink_view import SinkView
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.conformance.wire_records import END, checkpoint, envelope
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.wire import decode_object

_SECONDS = 20.0
_UNNAMED = "conformance_unnamed"


def check_output(binary: Binary, info: ProviderInfo, config: Mapping[str, Any], view: SinkView) -> Iterator[Result]:
    """Check the rules of outputs; `view` shows what is in the sink."""

    def opened() -> Talk:
        talk = Talk(binary, opening_line(info, "output", config, streams=[STREAM]))
        form = talk.object("answer to its opening line", 30.0)
        if form.get("status") != "ready":
            raise Skipped(f"it refuses this configuration: {form.get('diagnostics')}")
        if "stores_checkpoint" in info.capabilities:
            require("checkpoint" in form, "its ready line has no checkpoint")
        return talk

    def needs_acks() -> None:
        if "checkpoint" not in info.capabilities:
            raise Skipped("it does not acknowledge")

    def acknowledges() -> None:
        needs_acks()
        with opened() as talk:
            for number in range(1, 4):
                talk.send(envelope(2 * number - 1), envelope(2 * number), checkpoint(number))
            talk.send(END)
            answers = talk.rest(_SECONDS)
            _acknowledgements(answers, 3)
            require(talk.code == 0, f"it exited with {talk.code}")
            require(bool(_numbers(answers)) and _numbers(answers)[-1] == 3, "the last checkpoint was not acknowledged")

    def waiting() -> None:
        needs_acks()
        with opened() as talk:
            talk.send(envelope(1), checkpoint(1))
            require(
                talk.until(lambda line: line.startswith(b'{"checkpoint":'), _SECONDS),
                f"it had not acknowledged after {_SECONDS:g} s without more data",
            )

    def without_end() -> None:
        needs_acks()
        with opened() as talk:
            talk.send(envelope(1), checkpoint(1), envelope(2))
            talk.close_input()
            _acknowledgements(talk.rest(_SECONDS), 1)

    def half() -> None:
        needs_acks()
        with opened() as talk:
            talk.send(envelope(1), checkpoint(1), envelope(2), checkpoint(2).rstrip(b"\n"))
            talk.close_input()
            _acknowledgements(talk.rest(_SECONDS), 1)

    def stored() -> None:
        with opened() as talk:
            talk.send(envelope(1), checkpoint(1), envelope(2), checkpoint(2))
            acknowledged = b'{"checkpoint":'
            require(talk.until(lambda line: line.startswith(acknowledged), _SECONDS), f"no acknowledgement{talk.why()}")
            number = _numbers([talk.received[-1]])[0]
            talk.kill()
        with opened() as talk:
            found = (decode_object(talk.received[0]) or {}).get("checkpoint")
            kept = found.get("id") if isinstance(found, dict) else None
            if not isinstance(kept, int) or kept < number:
                raise Departed(f"it acknowledged checkpoint {number}, was killed, and then had {found}")

    def new_stream() -> None:
        needs_acks()
        with opened() as talk:
            talk.send(envelope(1), checkpoint(1), envelope(2, _UNNAMED), checkpoint(2), END)
            answers = talk.rest(_SECONDS)
            at = next((at for at, line in enumerate(answers) if line.startswith(b'{"stream":')), None)
            if at is None:
                raise Skipped("with this configuration it requests no objects of a table that is not among its streams")
            stream = (decode_object(answers[at]) or {}).get("stream")
            named = isinstance(stream, dict) and stream.get("name") == _UNNAMED and isinstance(stream.get("key"), list)
            require(named, f"it asks for {stream}, where the data was of {_UNNAMED}")
            require(at == len(answers) - 1, f"after the stream line it wrote {answers[-1][:200]!r}")
            _acknowledgements(answers[:at], 1)

    yield check("R31", acknowledges)
    yield check("R32", waiting)
    yield check("R33", acknowledges)
    yield check("R34", without_end)
    yield check("R35", half)
    if "stores_checkpoint" in info.capabilities:
        yield check("R37", stored)
    yield check("R38", new_stream)
    if "checkpoint" in info.capabilities:
        yield from check_delivery(opened, view)


def _numbers(lines: list[bytes]) -> list[int]:
    forms = [decode_object(line) or {} for line in lines]
    return [form["n"] for form in forms if isinstance(form.get("n"), int)]


def _acknowledgements(lines: list[bytes], sent: int) -> None:
    """Raise Departed unless all lines are rejects, or acknowledgements of what was sent, with rising numbers."""
    last = 0
    for line in lines:
        if line.startswith(b'{"reject":'):
            continue
        form = decode_object(line)
        if form is None or not line.startswith(b'{"checkpoint":'):
            raise Departed(f"it wrote {line[:200]!r}")
        number = form.get("n")
        if not isinstance(number, int) or not last < number <= sent:
            raise Departed(f"it acknowledged {number!r} after {last}; {sent} were sent")
        require(form.get("checkpoint") == {"source": "conformance", "id": number}, f"it changed checkpoint {number}")
        last = number
