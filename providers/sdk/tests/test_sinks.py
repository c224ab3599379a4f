"""Sinks of the SDK: every byte is written, in as many pieces as it takes, or the session fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dstream_sdk import HostGone, ProviderError, write_all
from dstream_sdk.channel import Writer
from dstream_sdk.files import AppendedFile
from dstream_sdk.output import OutputSession

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is a device of Linux")


def short_writes(monkeypatch: pytest.MonkeyPatch, limit: int = 3) -> None:
    whole = os.write
    monkeypatch.setattr("os.write", lambda fd, data: whole(fd, bytes(data)[:limit]))


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short_writes(monkeypatch)
    file = AppendedFile(tmp_path / "folder" / "out")
    file.append(b"one\ntwo\n")
    file.sync()
    file.close()
    assert (tmp_path / "folder" / "out").read_bytes() == b"one\ntwo\n"


def test_a_write_that_takes_nothing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    short_writes(monkeypatch, limit=0)
    with pytest.raises(OSError, match="No space left"):
        write_all(1, b"x")


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    data = b"x" * 1_000_000
    found: list[bytes] = []

    def read() -> None:
        while chunk := os.read(source, 65536):
            found.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    write_all(sink, data)
    os.close(sink)
    reader.join(30)
    assert b"".join(found) == data


@needs_full
def test_a_full_disk_ends_the_session_of_a_file() -> None:
    file = AppendedFile(FULL)
    with pytest.raises(ProviderError, match="Cannot write file: /dev/full: No space left"):
        file.append(b"x\n")


def test_a_device_is_shared_and_has_nothing_to_sync() -> None:
    one, other = AppendedFile(os.devnull), AppendedFile(os.devnull)
    for file in (one, other):
        file.append(b"x\n")
        file.sync()
        file.close()


@needs_full
def test_text_that_cannot_be_shown_is_an_error() -> None:
    session = OutputSession({}, Writer(os.open(os.devnull, os.O_WRONLY)), 2)
    saved = os.dup(2)
    os.dup2(os.open(FULL, os.O_WRONLY), 2)
    try:
        with pytest.raises(ProviderError, match="Cannot write to standard error"):
            session.display(b"text\n")
    finally:
        os.dup2(saved, 2)


@needs_full
def test_a_writer_that_failed_in_the_background_fails_the_next_flush(capfd: pytest.CaptureFixture[str]) -> None:
    writer = Writer(os.open(FULL, os.O_WRONLY))
    writer.put(b"x\n")
    with pytest.raises(HostGone):
        while True:
            writer.flush()
    with pytest.raises(HostGone):
        writer.flush()
    assert "cannot write to standard output: No space left" in capfd.readouterr().err


@needs_full
@pytest.mark.parametrize("provider", ["dstream_console.provider", "dstream_log.provider"])
@pytest.mark.parametrize("protocol", [1, 2])
def test_what_a_terminal_provider_cannot_write_ends_it(provider: str, protocol: int) -> None:
    opening: dict[str, Any] = {"command": "run", "config": {}}
    opening |= {"protocol": 2, "role": "output"} if protocol == 2 else {}
    lines = [
        opening,
        {"data": {"n": 1}, "metadata": {}},
        *([{"checkpoint": {}, "n": 1}, {"end": True}] if protocol == 2 else []),
    ]

    text = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    with FULL.open("wb") as full:
        out, err = (full, subprocess.PIPE) if protocol == 1 else (subprocess.PIPE, full)
        code = f"from dstream_sdk import main; main('{provider}:PROVIDER')"
        done = subprocess.run([sys.executable, "-c", code], input=text, stdout=out, stderr=err, timeout=60, check=False)
    assert done.returncode == 1
    if protocol == 2:
        assert b'"checkpoint":{}' not in done.stdout
        assert b"Cannot write to standard error" in done.stdout


def limit_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))  # a disk that takes 40 bytes of a file


def test_a_record_that_the_disk_took_half_of_is_not_acknowledged_and_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "out"
    shout = [sys.executable, str(Path(__file__).resolve().parents[1] / "examples" / "shout.py")]
    opening = {"command": "run", "protocol": 2, "role": "output", "config": {"path": str(path)}}
    lines = [opening, {"data": {"n": "one"}, "metadata": {}}, {"checkpoint": {"n": 1}, "n": 1}]
    lines += [{"data": {"n": "two"}, "metadata": {}}, {"checkpoint": {"n": 2}, "n": 2}, {"end": True}]
    text = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    full = subprocess.run(shout, input=text, capture_output=True, timeout=60, check=False, preexec_fn=limit_files)
    assert full.returncode == 1
    assert b'"checkpoint":{"n":2}' not in full.stdout
    assert b"Cannot write file" in full.stdout
    assert len(path.read_bytes()) == 40
    subprocess.run(shout, input=text, capture_output=True, timeout=60, check=True)
    whole = [b'{"DATA":{"N":"ONE"},"METADATA":{}}', b'{"DATA":{"N":"TWO"},"METADATA":{}}']
    assert path.read_bytes().splitlines() == [*whole[:1], *whole]
