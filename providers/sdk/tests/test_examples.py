"""The providers of the README keep the rules of the protocol, and the README shows them as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from dstream_sdk.testing import ProviderProcess, check_provider

SDK = Path(__file__).resolve().parents[1]
EXAMPLES = SDK / "examples"


def lines_of(argv: list[str], opening: object) -> list[object]:
    done = subprocess.run(argv, input=json.dumps(opening).encode() + b"\n", capture_output=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_input_in_python_keeps_the_rules() -> None:
    argv = [sys.executable, str(EXAMPLES / "ticker.py")]
    check_provider(argv, config={"count": 3, "seconds": 0.01}, records=3)


def test_the_output_in_python_keeps_the_rules(tmp_path: Path) -> None:
    check_provider([sys.executable, str(EXAMPLES / "shout.py")], config={"path": str(tmp_path / "out")})
    assert (tmp_path / "out").read_bytes().startswith(b'{"DATA":{"ID":1}')


def test_the_input_in_bash_keeps_the_rules() -> None:
    check_provider(["bash", str(EXAMPLES / "numbers.sh")], config={}, records=5)


def test_the_input_in_bash_continues_from_its_checkpoint() -> None:
    opening = {"command": "run", "protocol": 2, "role": "input", "config": {}, "checkpoint": {"n": 4}, "acks": True}
    with ProviderProcess(["bash", str(EXAMPLES / "numbers.sh")]) as provider:
        # Compact, as a host writes it: a shell script that takes lines apart by pattern counts on that.
        provider.send(opening)
        assert [provider.read() for _ in range(2)][1] == {"data": {"n": 5}, "metadata": {"TableName": "numbers"}}
        assert provider.read() == {"checkpoint": {"n": 5}, "n": 1}


def test_the_four_lines_of_bash_stream_under_version_1() -> None:
    found = lines_of(["bash", str(EXAMPLES / "hello.sh")], {"command": "run", "config": {}})
    assert [each["data"]["name"] for each in found] == ["Ada", "Grace", "Edsger"]  # type: ignore[index]  # JSON


def test_the_readme_shows_the_examples_as_they_are() -> None:
    readme = (SDK / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".sh"):
            assert path.read_text().strip() in readme, f"{path.name} differs from what the README shows"
