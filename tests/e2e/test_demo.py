"""The demo: it tells its story to the end, and it notices when a step did not do what it says."""

import subprocess
import sys

import pytest

from examples.demo.__main__ import EXAMPLE, story
from examples.demo.checks import Failed
from examples.demo.stage import Stage
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
