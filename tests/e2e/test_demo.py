"""The demo: it tells its story to the end, and it notices when a step did not do what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo.__main__ import EXAMPLE, story
from examples.demo.checks import Failed
from examples.demo.stage import NEXT, Stage
from tests.e2e.commands import ROOT, environment

PRETENDER = """#!/bin/sh
# Says what is expected of dstream, and does nothing.
echo "postgres_publication postgres_replication_slot 2 to add. Apply complete. Destroy complete. No changes. missing"
case "$1 $2" in
"plan -detailed-exitcode" | "drift ") exit 2 ;;
esac
"""


def test_the_demo_tells_its_story_to_the_end():
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    typed = [line for line in done.stdout.splitlines() if line.startswith("$ dstream")]
    verbs = [line.split()[2] for line in typed]
    assert verbs == ["plan", "apply", "run", "run", "run", "plan", "drift", "apply", "drift", "destroy"]
    told = done.stdout[done.stdout.index("\nNext\n") :]
    assert [way for _, way in NEXT if way not in told] == []


def test_the_next_steps_after_the_demo_work(tmp_path):
    command, *pages = (way for _, way in NEXT)
    assert len(pages) == 2
    named = [page for way in pages for page in re.findall(r"docs/\S+\.md", way)]
    assert len(named) == 3 and [page for page in named if not (ROOT / page).is_file()] == []
    assert "\nsetup:" in (ROOT / "Makefile").read_text()
    shutil.copytree(ROOT / "examples/counter-to-console", tmp_path / "examples/counter-to-console")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert "5 records moved" in done.stderr


def test_every_pin_of_the_demo_is_one_of_the_whole_environment():
    pins = re.compile(r"^(\S+==\S+).*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
    whole, demo = (
        {match[1]: match[0].strip() for match in pins.finditer((ROOT / name).read_text())}
        for name in ("requirements.lock", "requirements-demo.lock")
    )
    assert 20 < len(demo) < len(whole) / 2
    assert [pin for pin in demo if whole.get(pin) != demo[pin]] == [], "run: make lock"
    setup = (ROOT / ".ci/setup.sh").read_text()
    assert (
        'demo_providers="providers/console providers/counter providers/jsonl providers/postgres providers/sdk"' in setup
    )


def test_the_demo_fails_when_the_commands_only_say_that_they_did_it(tmp_path, postgres):
    (tmp_path / "dstream").write_text(PRETENDER)
    (tmp_path / "dstream").chmod(0o755)
    (tmp_path / "dstream.hcl").write_bytes((EXAMPLE / "dstream.hcl").read_bytes())
    stage = Stage(tmp_path, Shop(postgres, "pretended"), programs=tmp_path)
    with pytest.raises(Failed, match="publication and the slot exist"):
        story(stage)


class Shop:
    """A database of its own on a server that others use as well."""

    def __init__(self, server, database):
        self._server, self._database = server, database
        server.create_database(database)

    def execute(self, sql):
        """Run SQL in it."""
        if "pg_replication_slots" in sql:
            sql = sql.replace("pg_replication_slots", "pg_replication_slots WHERE database = current_database()")
        return self._server.execute(sql, dbname=self._database)

    def dsn(self):
        """Its connection URL."""
        return self._server.dsn(self._database)
