"""An output that meets a stream which nobody named asks the host for its objects, and is told of it ever after."""

import json
import os

import pytest

from dstream_sdk import ProviderError, Stream
from dstream_sdk.channel import Writer
from dstream_sdk.errors import SaidAll
from dstream_sdk.output import OutputSession, streams_of


def test_a_stream_line_is_written_at_once_and_the_session_is_over():
    reading, writing = os.pipe()
    session = OutputSession({"task": "t", "acks": True}, Writer(writing), 2)
    with pytest.raises(SaidAll):
        session.discover(Stream("Returns", ("id",)))
    line = os.read(reading, 1000)
    assert line.startswith(b'{"stream":') and line.endswith(b"\n")
    assert json.loads(line) == {"stream": {"name": "Returns", "key": ["id"]}}


def test_a_version_1_host_cannot_be_asked():
    reading, writing = os.pipe()
    with pytest.raises(ProviderError, match="version 1"):
        OutputSession({}, Writer(writing), 1).discover(Stream("Returns"))
    os.close(writing)
    assert os.read(reading, 1000) == b""


def test_streams_say_whether_they_were_met_at_run_time():
    opening = {"streams": [{"name": "a", "key": []}, {"name": "b", "key": ["id"], "discovered": True}]}
    assert [(each.name, each.discovered) for each in streams_of(opening)] == [("a", False), ("b", True)]
