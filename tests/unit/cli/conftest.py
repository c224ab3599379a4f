"""A command line in this process: the counter and the console are threads."""

import sys
from pathlib import Path

import pytest

from dstream.cli.main import _run
from dstream_console.provider import PROVIDER as CONSOLE
from dstream_counter.provider import PROVIDER as COUNTER
from tests.services.recorder.in_process import in_process

BIN = Path(sys.executable).parent
PROVIDERS = {"dstream-in-counter": COUNTER, "dstream-out-console": CONSOLE}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that writes files and runs a command in their folder, and returns its exit code and output."""

    def running(name, files, words):
        folder = tmp_path / name
        for file, text in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if text or file != "dstream.hcl":
                path.write_text(text)
        monkeypatch.chdir(folder)
        with in_process({str(BIN / program): lambda _life, made=made: made for program, made in PROVIDERS.items()}):
            code = _run(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return running
