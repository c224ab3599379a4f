"""Envelopes and text apart, against the definition line by line."""

import json

from hypothesis import given
from hypothesis import strategies as st

from dstream.run.text_lines import without_text

LINES = [
    b'{"data":{"n":1}}',
    b'{"data":{"n":1},"metadata":{"TableName":"t"}}\r',
    b'{ "metadata": {}, "data": {"n": 1} }',
    b'{"Data":{"n":1},"Metadata":{}}',
    b'{"data":{"cut',
    b'{"data":7}',
    b'{"level":"info","msg":"{\\"data\\":{}"}',
    b"INFO started",
    b"{not json}",
    b'["data"]',
    b"",
    b" \t\r",
    b"a\rb",
]


def is_envelope(line: bytes) -> bool:
    if line.startswith(b'{"data":{'):
        return True
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and any(k.lower() == "data" and isinstance(v, dict) for k, v in value.items())


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=12), st.sampled_from([b"", b"other\n", b'{"data":{}}\n']))
def test_each_line_is_an_envelope_or_text(lines: list[bytes], around: bytes) -> None:
    block = b"".join(line + b"\n" for line in lines)
    chunk = around + block + around
    envelopes, texts = without_text(chunk, len(around), len(around) + len(block))
    expected = [line for line in lines if is_envelope(line)]
    assert (block if envelopes is None else envelopes) == b"".join(line + b"\n" for line in expected)
    assert texts == [line for line in lines if line not in expected and line.strip()]
