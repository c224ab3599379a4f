"""The main job as a story: PostgreSQL change data to JSON Lines and the console, on this machine alone.

Starts a PostgreSQL of its own, works in a temporary folder with local state, types the commands a user would
type, and checks after each step that what the step says is really so. Exit code 0 if all of it was.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from examples.demo.checks import Failed, expect, operations
from examples.demo.stage import Stage
from tests.services.postgres import EmbeddedPostgres
from tests.services.postgres_programs import PostgresFailed

EXAMPLE = Path(__file__).resolve().parent.parent / "postgres-to-jsonl"

TABLES = (
    "CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, total numeric(10, 2) NOT NULL)",
)
ROWS = ("INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace')",)
CHANGES = (
    "INSERT INTO orders VALUES (10, 1, 99.50), (11, 2, 12.00), (12, 2, 7.25)",
    "UPDATE orders SET total = 15.00 WHERE id = 11",
    "DELETE FROM orders WHERE id = 12",
)
MOVED = {
    ("public.customers", 1): ["Read"],
    ("public.customers", 2): ["Read"],
    ("public.orders", 10): ["Insert"],
    ("public.orders", 11): ["Insert", "Update"],
    ("public.orders", 12): ["Insert", "Delete"],
}


def story(stage: Stage) -> None:
    """Tell the story; raises Failed when a step did not do what it says."""
    changes = stage.folder / "changes.jsonl"

    stage.say("A shop has a PostgreSQL database. dstream.hcl sends its changes to a file, and to the console.")
    stage.show_file("dstream.hcl")
    stage.sql(*TABLES, *ROWS)

    stage.step("What will be created?")
    wanted = ["postgres_publication", "postgres_replication_slot", "2 to add"]
    stage.dstream("plan -detailed-exitcode", code=2, says=wanted)
    expect(stage.replication() == ([], []), "plan changed nothing in the database")

    stage.step("Create it")
    stage.dstream("apply -auto-approve", says=["Apply complete"])
    publications, slots = stage.replication()
    expect(len(publications) == 1 and len(slots) == 1, "the publication and the slot exist in the database")

    stage.step("Move the existing rows first")
    stage.dstream("run orders-to-file --until-idle", says=["read 2 rows"])

    stage.step("Change rows, and move the changes")
    stage.sql(*CHANGES)
    stage.dstream("run orders-to-file --until-idle")
    stage.dstream("run file-to-console --until-idle", says=["Ada", "Grace", "99.5", "Delete"])
    expect(operations(changes) == MOVED, f"{changes.name} holds every change once, in order per row")

    stage.step("Check for remaining changes")
    stage.dstream("plan -detailed-exitcode", says=["No changes"])

    stage.step("A table is added to the publication outside of dstream")
    stage.sql("CREATE TABLE audit (id bigint PRIMARY KEY)", f"ALTER PUBLICATION {publications[0]} ADD TABLE audit")
    stage.dstream("drift", code=2, says=["postgres_publication", "changed", "audit"])

    stage.step("Repair it")
    stage.dstream("apply -auto-approve", says=["Apply complete"])
    expect("audit" not in stage.published(), "the publication has the tables of the configuration again")
    stage.dstream("drift", says=[])

    stage.step("Destroy everything")
    stage.dstream("destroy -auto-approve -allow-data-loss", says=["Destroy complete"])
    expect(stage.replication() == ([], []), "the database has no publication and no slot any more")
    expect(operations(changes) == MOVED, f"{changes.name} is kept: it is your data")


def main() -> int:
    """Run the demo and return its exit code."""
    folder = Path(tempfile.mkdtemp(prefix="dstream-demo-"))
    try:
        shutil.copy(EXAMPLE / "dstream.hcl", folder)
        with EmbeddedPostgres() as server:
            stage = Stage(folder, server)
            try:
                story(stage)
            except Failed as problem:
                stage.fail(str(problem))
                return 1
            stage.done()
            return 0
    except PostgresFailed as problem:
        print(f"The demo's PostgreSQL could not be started: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if not os.environ.get("DSTREAM_DEMO_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
