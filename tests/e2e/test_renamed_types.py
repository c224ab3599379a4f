"""A plugin that renames a type, under an embedded Pulumi program: by an alias the object stays what it is.

Pulumi's bug reports tell of objects that are replaced after such a rename (pulumi/pulumi#11397, #18801).
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.commands import PROGRAMS, Ended, dstream
from tests.services.pulumi.serving import install
from tests.services.shebang import shebang

PROVIDER = """
from dataclasses import dataclass

from dstream_pulumi import Plugin, PluginCatalog, collect
from dstream_sdk import Output, Provider, main, setting


@dataclass(frozen=True)
class Settings:
    folder: str = setting()
    plugin: str = setting()
    type: str = setting("acme:stuff:Thing")
    alias: str = setting("")


class Things(Output[Settings]):
    def plan(self, config, context):
        def program():
            from pulumi import Alias, ComponentResource, CustomResource, ResourceOptions

            group = ComponentResource("acme:parts:Group", "group")
            aliases = [Alias(type_=config.alias)] if config.alias else []
            CustomResource(config.type, "one", {"size": 1}, ResourceOptions(parent=group, aliases=aliases))

        return collect(program, project="acme", plugins=[Plugin("acme", path=config.plugin)])

    def run(self, config, session):
        for _ in session.records():
            pass


class Types(PluginCatalog):
    def plugins_of(self, config):
        path = config["plugin"] if isinstance(config, dict) else config.plugin
        return {"acme": Plugin("acme", path=path)}


def settings(config):
    return {"acme": {"folder": config.folder}}


main(Provider("things", version="1.0", output=Things(), catalog=Types([], settings=settings)))
"""
OLD, NEW = "task.t.output.acme_stuff_Thing", "task.t.output.acme_stuff_GoodThing"


def test_a_renamed_type_is_moved_by_its_alias_and_without_one_the_plan_says_which(tmp_path: Path, home: Path) -> None:
    folder, things = tmp_path / "config", tmp_path / "things"
    folder.mkdir()
    provider = folder / "things.py"
    provider.write_text(shebang() + PROVIDER)
    provider.chmod(0o755)
    before = install(tmp_path / "v1", "acme", "tests.services.pulumi.acme")
    after = install(tmp_path / "v2", "acme", "tests.services.pulumi.acme_renamed")
    env = {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "PASS": "a passphrase of some length",
    }

    def dstream_with(plugin: Path, more: str, *arguments: str) -> Ended:
        (folder / "dstream.hcl").write_text(f"""
dstream {{
  encryption {{
    passphrase = env("PASS")
  }}
}}
task "t" {{
  input {{
    provider = "counter"
  }}
  output {{
    provider_path = "./things.py"
    config {{
      folder = "{things}"
      plugin = "{plugin}"
      {more}
    }}
  }}
}}
""")
        return dstream(folder, *arguments, env=env)

    made = dstream_with(before, "", "apply", "-auto-approve")
    assert made.code == 0, made.said
    [thing] = things.iterdir()

    plain = dstream_with(after, 'type = "acme:stuff:GoodThing"', "plan")
    said = " ".join(plain.said.split())
    assert plain.code == 1, "the plugin cannot read, nor delete, what it does not know any more"
    assert "Type of an object changed" in said and 'aliases=[Alias(type_="acme_stuff_Thing")]' in said

    renamed = 'type = "acme:stuff:GoodThing"\n      alias = "ALIAS"'
    for alias in ("acme:stuff:Thing", "acme_stuff_Thing"):  # as Pulumi names it, and as the warning does
        moved = dstream_with(after, renamed.replace("ALIAS", alias), "plan")
        assert moved.code == 0 and "Plan: 0 to add, 0 to change, 0 to destroy" in moved.out, moved.said
        assert f'{OLD}["group/one"] has moved to {NEW}["group/one"]' in " ".join(moved.out.split())
        assert "Type of an object changed" not in moved.said
    done = dstream(folder, "apply", "-auto-approve", env=env)
    assert done.code == 0, done.said
    assert dstream(folder, "state", "list", env=env).out.strip().endswith(f'{NEW}["group/one"]')
    assert [thing] == list(things.iterdir())
    later = dstream_with(after, 'type = "acme:stuff:GoodThing"', "plan").out
    assert "Plan: 0 to add, 0 to change, 0 to destroy" in later and "moved" not in later, "the alias may go"
    gone = dstream(folder, "destroy", "-auto-approve", env=env)
    assert gone.code == 0 and list(things.iterdir()) == [], gone.said
