"""The Azurite that tests start: on a free port, with a clock that can be moved, gone with whoever started it."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.events import until
from tests.services.azurite import HERE, azurite_server

ROOT = Path(__file__).parents[2]


def answer(endpoint: str) -> str | None:
    """Return the `Server` header, None if nobody listens."""
    try:
        urllib.request.urlopen(f"{endpoint}?comp=list", timeout=5).close()
    except urllib.error.HTTPError as error:
        return str(error.headers["Server"])
    except OSError:
        return None
    return ""


def test_two_run_side_by_side_and_are_gone_afterwards() -> None:
    with azurite_server() as one, azurite_server() as other:
        assert one.port != other.port
        assert "Azurite" in (answer(one.endpoint) or "")
        assert "Azurite" in (answer(other.endpoint) or "")
    assert answer(one.endpoint) is None


def test_it_ends_with_the_process_that_started_it() -> None:
    code = (
        "import time\nfrom tests.services.azurite import azurite_server\n"
        "with azurite_server() as server:\n    print(server.endpoint, flush=True)\n    time.sleep(1000)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    endpoint = starter.stdout.readline().strip()
    assert answer(endpoint) is not None
    starter.kill()
    starter.wait()
    starter.stdout.close()
    until(lambda: answer(endpoint) is None, "the server to end with its starter")


def test_the_locked_packages_name_no_registry() -> None:
    text = (HERE / "package-lock.json").read_text()
    assert '"resolved"' not in text
    assert '"azurite": "3.37.0"' in text
