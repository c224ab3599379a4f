"""Objects of a plugin that take their time: given up when it is over, with the reason, and made when it is longer."""

import os

import pytest

from tests.e2e.commands import PROGRAMS, dstream
from tests.services.pulumi.serving import install
from tests.services.shebang import shebang

pytestmark = pytest.mark.timeout(900)
BACKEND = """
dstream {
  encryption {
    passphrase = env("STATE_PASSPHRASE")
  }
}
"""
DECLARED = """
provider "acme" {{
  provider = "pulumi"
  config {{
    plugin   = "acme"
    path     = "{plugin}"
    settings = {{ folder = "{things}" }}
  }}
}}
locals {{
  patience = "{time}"
}}
resource "acme_stuff_Thing" "a" {{
  size = 3
  mood = "lasting {lasting}"
  timeouts {{
    create = local.patience
    delete = "1h"
  }}
}}
"""
TASK = """
task "orders" {{
  input {{
    provider = "counter"
  }}
  output {{
    provider_path = "./dstream-out-acme"
    config {{
      plugin = "{plugin}"
      folder = "{things}"
      create = "{time}"
      mood   = "lasting {lasting}"
    }}
  }}
}}
"""
PROGRAM = """
from dataclasses import dataclass

from dstream_pulumi import Plugin, PluginCatalog, collect
from dstream_sdk import Output, Provider, main, setting


@dataclass(frozen=True)
class Settings:
    plugin: str = setting()
    folder: str = setting()
    create: str = setting()
    mood: str = setting()


class Things(Output[Settings]):
    def plan(self, config, context):
        def program():
            import pulumi

            pulumi.CustomResource(
                "acme:stuff:Thing", "a", {"size": 3, "mood": config.mood},
                pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create=config.create, delete="1h")),
            )

        return collect(program)

    def run(self, config, session):
        for _ in session.records():
            pass


ACME = Plugin("acme", path="PLUGIN")



def settings(config):
    return {"acme": {"folder": config["folder"] if isinstance(config, dict) else config.folder}}


main(Provider("acme", version="1.0", output=Things(), catalog=PluginCatalog([ACME], settings=settings)))
"""


class Acme:
    """A folder whose configuration wants one thing of the plugin, declared or asked for by a task."""

    def __init__(self, folder, home, text):
        self.folder, self.text = folder / "config", text
        self.folder.mkdir()
        self.plugin = install(folder / "programs", "acme", "tests.services.pulumi.acme")
        self._things = folder / "things"
        provider = self.folder / "dstream-out-acme"
        provider.write_text(shebang() + PROGRAM.replace("PLUGIN", str(self.plugin)))
        provider.chmod(0o755)
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        self._env = {"HOME": str(home), "PATH": path, "STATE_PASSPHRASE": "a passphrase of many characters"}

    def write(self, time, lasting):
        given = {"plugin": self.plugin, "things": self._things, "time": time, "lasting": lasting}
        (self.folder / "dstream.hcl").write_text(BACKEND + self.text.format(**given))

    def run(self, *arguments):
        return dstream(self.folder, *arguments, env=self._env, timeout=300)

    def things(self):
        return sorted(path.name for path in self._things.glob("*"))


@pytest.mark.parametrize(
    ("text", "address", "block"),
    [
        (DECLARED, "acme_stuff_Thing.a", "acme_stuff_Thing.a"),
        (TASK, 'task.orders.output.acme_stuff_Thing["a"]', "task.orders"),
    ],
    ids=["declared", "program"],
)
def test_what_is_slow_is_given_up_when_its_time_is_over_and_made_when_it_is_longer(
    tmp_path, home, text, address, block
):
    acme = Acme(tmp_path, home, text)
    acme.write("3s", 3600)
    done = acme.run("apply", "-auto-approve")
    said = " ".join(done.said.replace("│", " ").split())
    assert done.code == 1, done.said
    assert "Change timeout" in said and "The provider had 3s to create this object" in said
    assert f'timeouts {{ create = "6s" }} in the block {block}.' in said
    assert f"did not finish Create of {'acme_stuff_Thing.a' if text is DECLARED else 'a'} within 3 s" in said
    assert acme.things() == []
    # Its id is known only when it is there, so that nobody can tell whether it is: a person has to.
    assert "unresolved" in acme.run("state", "show", address).out
    acme.write("10m", 4)
    again = acme.run("apply", "-auto-approve")
    assert again.code == 1 and "Unresolved object" in again.said and acme.things() == []
    assert acme.run("state", "rm", address).code == 0
    done = acme.run("apply", "-auto-approve")
    assert done.code == 0, done.said
    assert len(acme.things()) == 1
    acme.write("20m", 4)
    planned = acme.run("plan").out  # settings of a task have changed: it is to be applied, and no object is
    assert "No changes" in planned or "Plan: 0 to add, 0 to change, 0 to destroy" in planned
    done = acme.run("destroy", "-auto-approve")
    assert done.code == 0 and acme.things() == [], done.said
