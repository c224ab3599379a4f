"""A running plugin that has every habit, its types, and contexts to ask them in."""

import json
from pathlib import Path

import pytest

from dstream_pulumi import Plugin
from dstream_pulumi.plugin_instance import PluginInstance
from dstream_pulumi.plugin_type import PluginType
from dstream_sdk import ResourceContext
from tests.services.pulumi.serving import install


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Schemas are kept below the home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


class Asked:
    """What the plugin was asked, and what is in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "things"
        self._log = folder / "calls.jsonl"

    def calls(self, *methods):
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [each for each in map(json.loads, lines) if each[0] in methods]

    def things(self):
        return sorted(path.name for path in self.folder.glob("*"))


@pytest.fixture
def asked(tmp_path):
    return Asked(tmp_path)


@pytest.fixture
def executable(tmp_path):
    return install(tmp_path / "bin", "acme", "tests.services.pulumi.acme")


@pytest.fixture
def running(executable, asked):
    found = PluginInstance(Plugin("acme", path=str(executable)), {"folder": str(asked.folder), "api_key": "k3y"})
    yield found
    found.close()


@pytest.fixture
def kind(running):
    """Return what serves a type of the plugin."""
    return lambda name="acme_stuff_Thing": PluginType(running.describe(name), running)


@pytest.fixture
def context():
    """Return the context of a request."""

    def make(key="acme_stuff_Thing.a", sensitive=(), timeout=300):
        request = {"id": 1, "key": key, "timeout": timeout, "sensitive": [list(path) for path in sensitive]}
        return ResourceContext(None, request, lambda answer: None)

    return make
