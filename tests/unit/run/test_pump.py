"""The pump: whole lines only, nothing parsed, everything counted."""

import functools
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dstream.run.pump import Pump, PumpOptions
from dstream.run.pump_handler import PumpHandler
from dstream.run.transfer import Copying, Splicing, transfer, widen

WAYS = [Copying, Splicing] if hasattr(os, "splice") else [Copying]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.__name__)
def connect(request):
    """Everything holds for each way in which bytes are passed on."""
    return request.param


@pytest.fixture(scope="module")
def pumped(connect):
    """The function `send`, with one way of passing bytes on."""
    return functools.partial(send, connect)


def widened():
    """A pipe as large as those between providers are."""
    ends = os.pipe()
    widen(ends[0])
    return ends


class Handler(PumpHandler):
    """Keeps the checkpoints with the records before them, and calls what a test gives by the names of the methods."""

    def __init__(self, **calls):
        self.checkpoints = []
        self.__dict__.update(calls)

    def on_checkpoint(self, line, records):
        self.checkpoints.append((line, records))


def send(
    connect, chunks, *, controls=True, record_limit=1 << 20, schemas=False, skip=0, limit=None, careful=0, **calls
):
    """Send chunks through a pump; return it, what came out, and the checkpoints with the records before them."""
    source, to_pump = widened()
    from_pump, sink = widened()
    got = []

    def write():
        for chunk in chunks:
            os.write(to_pump, chunk)
        os.close(to_pump)

    def read():
        while chunk := os.read(from_pump, 1 << 20):
            got.append(chunk)

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    options = PumpOptions(controls, record_limit, schemas=schemas, skip=skip, limit=limit, careful=careful)
    handler = Handler(**calls)
    pump = Pump(source, sink, options, handler, connect)
    try:
        pump.run()
    finally:
        os.close(sink)
        threads[1].join()
        while os.read(source, 1 << 16):
            pass
        threads[0].join()
        os.close(source)
        os.close(from_pump)
    return pump, b"".join(got), handler.checkpoints


LINES = st.lists(
    st.one_of(
        st.binary(max_size=30).map(lambda data: b'{"data":' + data.replace(b"\n", b"") + b"}"),
        st.integers(1, 99).map(lambda n: b'{"checkpoint":{"x":1},"n":%d}' % n),
        st.just(b""),
        st.just(b' {"checkpoint":{}} is data here, since something stands before it'),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(LINES, st.lists(st.integers(1, 50), max_size=20), st.binary(max_size=20))
def test_whole_lines_pass_unchanged_however_they_are_cut(pumped, lines, cuts, tail):
    tail = tail.replace(b"\n", b"")
    stream = b"".join(line + b"\n" for line in lines) + tail
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(stream[at : at + cut])
        at += cut
    chunks.append(stream[at:])
    pump, got, checkpoints = pumped([chunk for chunk in chunks if chunk])
    assert got == stream[: len(stream) - len(tail)]
    assert pump.dropped == len(tail)
    controls = [line for line in lines if line.startswith(b'{"checkpoint":')]
    assert [line for line, _ in checkpoints] == controls
    assert pump.records == len(lines) - len(controls)
    before, expected = 0, []
    for line in lines:
        if line.startswith(b'{"checkpoint":'):
            expected.append(before)
        else:
            before += 1
    assert [records for _, records in checkpoints] == expected


def test_a_megabyte_and_more_passes(pumped):
    stream = b'{"data":{"text":"' + b"x" * 300 + b'"}}\n'
    pump, got, _ = pumped([stream * 20_000])
    assert len(got) == len(stream) * 20_000
    assert pump.records == 20_000


def test_the_end_line_is_noticed(pumped):
    assert pumped([b'{"data":{}}\n{"end":true}\n'])[0].ended
    assert pumped([b'{"data":{}}\n', b'{"end":', b"true}\n"])[0].ended
    assert not pumped([b'{"data":{}}\n{"end":true}'])[0].ended
    assert pumped([b'{"data":{}}\n{"end":true}\n'])[0].records == 1


def test_without_acknowledgements_there_are_no_control_lines(pumped):
    pump, got, checkpoints = pumped([b'{"checkpoint":{},"n":1}\n'], controls=False)
    assert (pump.records, checkpoints) == (1, [])
    assert got


LONG = b"x" * 600


@pytest.mark.parametrize(
    ("chunks", "got", "long"),
    [
        ([LONG, LONG + b"\n"], b"", [LONG * 2]),
        ([b"ab\n" + LONG + LONG + b"\ncd\n"], b"ab\ncd\n", [LONG * 2]),
        ([b"ab\n" + LONG, LONG, LONG + b"\ncd", b"\n"], b"ab\ncd\n", [LONG * 3]),
        ([LONG * 2 + b"\n" + LONG * 3 + b"\nx\n" + LONG * 2 + b"\n"], b"x\n", [LONG * 2, LONG * 3, LONG * 2]),
        ([b"x" * 1000 + b"\n" + b"y" * 1001 + b"\n"], b"x" * 1000 + b"\n", [b"y" * 1001]),
        ([b"a\n" * 900 + LONG * 2 + b"\n" + b"b\n" * 900], b"a\n" * 900 + b"b\n" * 900, [LONG * 2]),
    ],
)
def test_a_record_over_the_limit_goes_elsewhere_and_the_others_go_on(pumped, chunks, got, long):
    found = []
    pump, out, _ = pumped([b"first\n", *chunks], record_limit=1000, on_oversized=found.append)
    assert (out, found) == (b"first\n" + got, long)
    assert pump.records == 1 + got.count(b"\n")
    assert pump.dropped == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=30), st.lists(st.integers(1, 60), max_size=30))
def test_each_record_goes_one_way_however_the_lines_are_cut(pumped, sizes, cuts):
    lines = [b"%d:" % at + b"z" * size for at, size in enumerate(sizes)]
    stream, chunks, at, found = b"".join(line + b"\n" for line in [b"-", *lines]), [], 0, []
    for cut in [*cuts, len(b"".join(lines)) + len(lines) + 2]:
        chunks.append(stream[at : at + cut])
        at += cut
    _, out, _ = pumped([chunk for chunk in chunks if chunk], record_limit=20, on_oversized=found.append)
    assert out == b"".join(line + b"\n" for line in [b"-", *lines] if len(line) <= 20)
    assert found == [line for line in lines if len(line) > 20]


def test_a_checkpoint_before_a_record_over_the_limit_keeps_its_place(pumped):
    order = []
    _, out, checkpoints = pumped(
        [b'-\n{"checkpoint":{},"n":1}\n' + LONG * 2 + b'\n{"checkpoint":{},"n":2}\n'],
        record_limit=1000,
        on_oversized=lambda line: order.append("oversized"),
        before_write=lambda: order.append("write"),
    )
    assert order[-3:] == ["write", "oversized", "write"]
    assert [records for _, records in checkpoints] == [1, 1]
    assert out.count(b"\n") == 3


def test_the_limit_of_records_does_not_hold_for_control_lines(pumped):
    line = b'{"checkpoint":{"p":"' + b"x" * 2000 + b'"},"n":1}'
    _, out, checkpoints = pumped([b"-\n" + line + b"\n", line[:1500], line[1500:] + b"\n"], record_limit=1000)
    assert [each for each, _ in checkpoints] == [line, line]
    assert out == b"-\n" + (line + b"\n") * 2


def test_schema_lines_are_passed_on_and_are_no_records(pumped):
    schema = b'{"schema":{"stream":"t"}}\n'
    stream = schema + b"a\n" + schema + b'b\n{"checkpoint":{},"n":1}\n' + schema + b"c\n"
    pump, out, checkpoints = pumped([b"-\n", stream], schemas=True, skip=2, on_skipped=lambda lines: None)
    assert out == stream.replace(b"a\n", b"")
    assert pump.records == 2
    assert [records for _, records in checkpoints] == [1]


def test_the_lease_is_asked_before_each_write(connect):
    asked = []

    def ensure():
        asked.append(1)
        if len(asked) == 2:
            raise RuntimeError("lost")

    source, to_pump = widened()
    from_pump, sink = widened()
    pump = Pump(source, sink, PumpOptions(controls=True, record_limit=1000), Handler(before_write=ensure), connect)
    os.write(to_pump, b"one\n")

    def run():
        with pytest.raises(RuntimeError):
            pump.run()

    thread = threading.Thread(target=run)
    thread.start()
    assert os.read(from_pump, 100) == b"one\n"
    os.write(to_pump, b"two\n")
    thread.join()
    os.close(sink)
    assert os.read(from_pump, 100) == b""
    assert pump.records == 1


def test_between_pipes_pages_are_moved_and_elsewhere_bytes_are_copied(tmp_path):
    ends = [*widened(), *widened()]
    if hasattr(os, "splice"):
        between = transfer(ends[0], ends[3])
        assert isinstance(between, Splicing)
        between.close()
    with (tmp_path / "file").open("wb") as file:
        assert isinstance(transfer(ends[0], file.fileno()), Copying)
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("first", [b'{"status":"ready"}\n', b'{"status":"rea'])
def test_an_answer_that_comes_alone_takes_nothing_else_away(pumped, first):
    rest = (b'{"status":"ready"}\n')[len(first) :]
    pump, got, _ = pumped([first, rest + b'{"data":{"n":1}}\n{"data":{"n":2}}\n'], on_first_line=len)
    assert got == b'{"data":{"n":1}}\n{"data":{"n":2}}\n'
    assert pump.records == 2


def test_an_answer_at_the_start_is_not_passed_on(pumped):
    seen = []
    _, got, _ = pumped(
        [b'{"status":"rea', b'dy"}\n{"data":{}}\n'], on_first_line=lambda line: seen.append(line) or len(line)
    )
    assert seen == [b'{"status":"ready"}\n']
    assert got == b'{"data":{}}\n'


def test_skipped_records_go_elsewhere_and_checkpoints_do_not(pumped):
    skipped = []
    pump, got, checkpoints = pumped(
        [b'a\nb\n{"checkpoint":{},"n":1}\nc\nd\n'], skip=3, on_skipped=skipped.extend
    )  # fmt: skip
    assert skipped == [b"a", b"b", b"c"]
    assert got == b'{"checkpoint":{},"n":1}\nd\n'
    assert [records for _, records in checkpoints] == [0]
    assert pump.records == 1


def test_while_it_is_careful_it_waits_after_each_checkpoint(pumped):
    order = []
    _, got, _ = pumped(
        [b'a\nb\n{"checkpoint":{},"n":1}\nc\n{"checkpoint":{},"n":2}\nd\n{"checkpoint":{},"n":3}\ne\n'],
        careful=3,
        settle=lambda: order.append("settle"),
        before_write=lambda: order.append("write"),
    )
    assert order == ["write", "settle", "write", "settle", "write"]
    assert got.endswith(b'd\n{"checkpoint":{},"n":3}\ne\n')
    assert got.startswith(b"a\nb\n")


def test_a_limit_cuts_exactly_where_there_are_no_checkpoints(pumped):
    pump, got, _ = pumped([b"a\nb\nc\nd\n"], controls=False, limit=3)
    assert got == b"a\nb\nc\n"
    assert pump.full


@pytest.mark.parametrize("careful", [0, 10])
@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_the_last_line_of_an_input_that_cannot_go_on_is_not_passed_on(pumped, cut, careful):
    before = b'{"data":{"status":1}}\n{"checkpoint":{},"n":1}\n{"data":{}}\n'
    error = b'{"status":"error","diagnostics":[]}\n'
    whole, said = before + error, []
    pump, got, _ = pumped([whole[:-cut], whole[-cut:]], on_last_line=said.append, careful=careful)
    assert (got, said, pump.records, pump.dropped) == (before, [error], 2, 0)


def test_without_confirmation_every_line_is_data(pumped):
    _, got, _ = pumped([b'{"status":"error"}\n'], controls=False, on_last_line=pytest.fail)
    assert got == b'{"status":"error"}\n'


@pytest.mark.parametrize("skip", [0, 1])
def test_lines_with_columns_are_passed_on_and_are_no_records(pumped, skip):
    data = b'{"schema":{"stream":"t"}}\n{"data":1}\n{"schema":{}}\n{"data":2}\n{"checkpoint":{},"n":1}\n{"end":true}\n'
    skipped = []
    pump, out, checkpoints = pumped([data], schemas=True, skip=skip, on_skipped=skipped.extend)
    assert out == (data.replace(b'{"data":1}\n', b"") if skip else data)
    assert skipped == ([b'{"data":1}'] if skip else [])
    assert pump.records == 2 - skip
    assert checkpoints == [(b'{"checkpoint":{},"n":1}', 2 - skip)]
