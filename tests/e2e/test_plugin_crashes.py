"""Plugins whose ids are known only when an object is there: what a crash leaves is neither made twice nor forgotten."""

import os

import pytest

from tests.e2e.commands import PROGRAMS, dstream
from tests.services.pulumi.serving import install

pytestmark = pytest.mark.timeout(900)
CONFIG = """
dstream {{
  encryption {{
    passphrase = env("STATE_PASSPHRASE")
  }}
}}
provider "acme" {{
  provider = "pulumi"
  config {{
    plugin   = "acme"
    path     = "{plugin}"
    settings = {{ folder = "{things}", api_key = "k3y" }}
  }}
}}
resource "acme_stuff_Thing" "a" {{
  size     = 3
  password = "p4ss"
  {more}
}}
"""


@pytest.fixture
def acme(tmp_path, home):
    folder = tmp_path / "config"
    folder.mkdir()
    plugin = install(tmp_path / "programs", "acme", "tests.services.pulumi.acme")
    env = {
        "HOME": str(home),
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "STATE_PASSPHRASE": "a passphrase of many characters",
    }

    def run(*arguments, more=None):
        if more is not None:
            text = CONFIG.format(plugin=plugin, things=tmp_path / "things", more=more)
            (folder / "dstream.hcl").write_text(text)
        return dstream(folder, *arguments, env=env, timeout=300)

    run.folder = folder
    run.things = lambda: sorted(path.name for path in (tmp_path / "things").glob("*"))
    return run


@pytest.mark.parametrize(("mood", "made"), [("crashing", 1), ("dying", 0)])
def test_a_plugin_that_died_leaves_an_object_that_a_person_decides_about(acme, mood, made):
    done = acme("apply", "-auto-approve", more=f'mood = "{mood}"')
    assert done.code == 1, done.said
    assert len(acme.things()) == made
    again = acme("apply", "-auto-approve", more="")
    assert again.code == 1 and "acme_stuff_Thing.a" in again.said, again.said
    assert len(acme.things()) == made, "nothing is made twice"
    assert "unresolved" in acme("state", "show", "acme_stuff_Thing.a").out
    assert acme("state", "rm", "acme_stuff_Thing.a").code == 0
    if made:
        taken = acme("import", "acme_stuff_Thing.a", acme.things()[0])
        assert taken.code == 0, taken.said
    done = acme("apply", "-auto-approve")
    assert done.code == 0, done.said
    assert len(acme.things()) == 1
    assert acme("plan", "-detailed-exitcode").code == 0
    assert acme("destroy", "-auto-approve").code == 0
    assert acme.things() == []


def test_secrets_are_nowhere_but_with_the_plugin(acme):
    planned = acme("plan", more="")
    assert planned.code == 0 and "p4ss" not in planned.said and "(sensitive" in planned.out
    done = acme("apply", "-auto-approve")
    assert done.code == 0 and "p4ss" not in done.said, done.said
    shown = acme("state", "show", "acme_stuff_Thing.a")
    assert "p4ss" not in shown.said and "key of" not in shown.said
    state = [path for path in (acme.folder / ".dstream").rglob("*") if path.is_file()]
    assert state
    assert not any(b"p4ss" in path.read_bytes() or b"key of" in path.read_bytes() for path in state)
    assert acme("plan", "-detailed-exitcode").code == 0
