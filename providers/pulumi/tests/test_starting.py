"""Finding, starting and configuring plugins, and what is said when that fails."""

import os
from pathlib import Path

import pytest

from dstream_pulumi import Plugin, PluginCatalog
from dstream_pulumi.plugin_instance import PluginInstance
from dstream_pulumi.plugin_type import PluginType
from dstream_pulumi.provider import OnePlugin, Settings
from dstream_sdk import UNKNOWN, InvalidError, ProviderError, RetriableError
from tests.services.shebang import shebang


def program(folder: Path, text: str) -> Plugin:
    path = folder / "pulumi-resource-odd"
    path.write_text(f"{shebang()}{text}\n")
    path.chmod(0o755)
    return Plugin("odd", path=str(path))


STARTS = {
    "it ends at once": ("import sys; sys.exit('no licence')", "no licence"),
    "it prints no port": ("print('hello', flush=True); import time; time.sleep(60)", "printed no port"),
    "it is no program": ("\x7fELF nonsense", "Plugin"),
}


@pytest.mark.parametrize("case", STARTS)
def test_a_plugin_that_does_not_start_says_why(tmp_path, case):
    text, said = STARTS[case]
    running = PluginInstance(program(tmp_path, text), {})
    with pytest.raises(ProviderError) as raised:
        running.describe("odd_Thing")
    assert said in str(raised.value)
    running.close()


def test_a_plugin_that_serves_nothing_there_is_out_of_reach(tmp_path):
    plugin = program(tmp_path, "print(1, flush=True)\nimport time\ntime.sleep(60)")
    running = PluginInstance(plugin, {})
    with pytest.raises((RetriableError, ProviderError)) as raised:
        running.describe("odd_Thing")
    assert "GetSchema" in str(raised.value)
    running.close()


def test_a_configuration_that_the_plugin_refuses_names_the_setting(executable):
    running = PluginInstance(Plugin("acme", path=str(executable)), {"api_key": "x"})
    kind = PluginType(running.describe("acme_stuff_Thing"), running)
    with pytest.raises(InvalidError) as raised:
        kind._client()
    assert raised.value.path == "config.settings.folder"
    running.close()


def test_settings_go_by_the_names_of_the_schema_and_as_json(running, asked):
    running.client()
    _, given, variables = asked.calls("Configure")[0]
    assert given["apiKey"] == "k3y" and variables["acme:config:apiKey"] == "k3y"


def test_the_schema_is_asked_for_once_and_kept(executable, asked, monkeypatch):
    first = PluginInstance(Plugin("acme", path=str(executable)), {})
    assert first.describe("acme_stuff_Thing") is not None and first._client is not None
    first.close()
    second = PluginInstance(Plugin("acme", path=str(executable)), {})
    assert second.describe("acme_stuff_Thing") is not None and second._client is None
    assert second.describe("acme_stuff_Nothing") is None
    second.close()


def test_a_home_that_cannot_be_written_is_no_obstacle(executable, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    running = PluginInstance(Plugin("acme", path=str(executable)), {})
    assert running.describe("acme_stuff_Thing") is not None
    running.close()


def test_a_catalog_serves_the_types_of_its_plugins(executable, asked):
    catalog = PluginCatalog(
        [Plugin("acme", path=str(executable)), Plugin("acme-other")],
        settings=lambda config: {"acme": {"folder": str(asked.folder), "apiKey": UNKNOWN}},
        holds_data=["acme_stuff_Thing"],
    )
    found = catalog.describe({}, ["acme_stuff_Thing", "acme_stuff_Nothing", "postgres_slot", "acme_parts_sub_Part"])
    assert sorted(found) == ["acme_parts_sub_Part", "acme_stuff_Thing"]
    thing = found["acme_stuff_Thing"]
    assert thing["holds_data"] and thing["plans"] and thing["identity"] == "assigned"
    assert thing["schema"]["required"] == ["size"] and thing["replace"] == ["region", "thing_name"]
    assert thing["sensitive"] == {"access_key": "write_only", "password": "write_only"}
    assert {"access_key", "password"} <= set(thing["computed"]), "they need an encrypted state"
    with pytest.raises(InvalidError, match="acme_parts_Kit is a component: acme expands it"):
        catalog.describe({}, ["acme_stuff_Thing", "acme_parts_Kit"])
    assert catalog.kind(None, "postgres_slot") is None
    assert catalog.kind(None, "acme_stuff_Thing") is not None
    catalog.close()


def test_the_executable_takes_its_plugin_from_the_configuration(executable, asked):
    one = OnePlugin()
    given = {"plugin": "acme", "path": str(executable), "settings": {"folder": UNKNOWN}}
    given["holds_data"] = ["acme_stuff_Thing"]
    assert one.describe(given, ["acme_stuff_Thing"])["acme_stuff_Thing"]["holds_data"]
    with pytest.raises(InvalidError, match="must be known before apply"):
        one.describe({**given, "version": UNKNOWN}, ["acme_stuff_Thing"])
    config = Settings(plugin="acme", path=str(executable), settings={"folder": str(asked.folder)})
    assert one.kind(config, "acme_stuff_Thing") is not None
    one.close()


def test_no_process_is_left_behind(executable, asked):
    running = PluginInstance(Plugin("acme", path=str(executable)), {"folder": str(asked.folder)})
    pid = running.client().pid
    running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_plugins_start_although_grpc_runs_already(executable, asked):
    started = [PluginInstance(Plugin("acme", path=str(executable)), {"folder": str(asked.folder)}) for _ in range(4)]
    pids = {each.client().pid for each in started}
    assert len(pids) == 4
    for each in started:
        each.close()


def test_a_plugin_of_another_version_is_refused(executable):
    running = PluginInstance(Plugin("acme", "9.9.9", str(executable)), {})
    with pytest.raises(InvalidError, match=r"is version 1\.2\.3, not 9\.9\.9"):
        running.describe("acme_stuff_Thing")
    running.close()
    same = PluginInstance(Plugin("acme", "1.2.3", str(executable)), {})
    assert same.describe("acme_stuff_Thing") is not None
    same.close()
