"""From PostgreSQL to PostgreSQL through the real host, killed at every fault point: tables equal, order per key held.

Each row's version comes from one sequence, so it only ever rises; a trigger in the target counts what would lower it.
"""

import itertools
import random
import threading
import time

import pytest

from tests.e2e.run_parts.rig import Rig, provider
from tests.events import until

SOURCE = """
CREATE SEQUENCE versions;
CREATE TABLE items (id int PRIMARY KEY, version bigint NOT NULL DEFAULT nextval('versions'), text text, big text);
ALTER TABLE items ALTER big SET STORAGE EXTERNAL;
INSERT INTO items SELECT i, nextval('versions'), 'text ' || i, CASE WHEN i % 5 = 0 THEN repeat('x', 3000) END
    FROM generate_series(1, 300) i;
CREATE PUBLICATION dstream_t FOR TABLE items
"""
TARGET = """
CREATE TABLE items (id int PRIMARY KEY, version bigint NOT NULL, text text, big text);
CREATE TABLE backwards (id int, before bigint, after bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = OLD.id AND NEW.version < OLD.version THEN
        INSERT INTO backwards VALUES (NEW.id, OLD.version, NEW.version);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note()
"""
_names = itertools.count(1)


class Databases:
    """A source whose rows change all the time, and a target."""

    def __init__(self, server, seed):
        self.server, self.dice = server, random.Random(seed)
        self.source, self.target = (f"run_{side}_{next(_names)}" for side in ("source", "target"))
        self.slot = f"dstream_{self.source}"
        for name, tables in ((self.source, SOURCE), (self.target, TARGET)):
            server.create_database(name)
            server.execute(tables, dbname=name)
        server.execute(f"SELECT pg_create_logical_replication_slot('{self.slot}', 'pgoutput')", dbname=self.source)
        self.halt = threading.Event()
        self.writer = threading.Thread(target=self.write, daemon=True)

    def write(self):
        numbers = itertools.count(1000)
        with self.server.connect(self.source, autocommit=False) as connection:
            cursor = connection.cursor()
            while not self.halt.wait(0.004):
                for _ in range(self.dice.randint(1, 5)):
                    key, what = self.dice.randint(1, 330), self.dice.random()
                    if what < 0.65:
                        cursor.execute("UPDATE items SET version = nextval('versions') WHERE id = %s", (key,))
                    elif what < 0.75:
                        cursor.execute("DELETE FROM items WHERE id = %s", (key,))
                    elif what < 0.95:
                        cursor.execute("INSERT INTO items (id, text) VALUES (%s, 'new') ON CONFLICT DO NOTHING", (key,))
                    else:
                        moved = "UPDATE items SET id = %s, version = nextval('versions') WHERE id = %s"
                        cursor.execute(moved, (next(numbers), key))
                connection.rollback() if self.dice.random() < 0.1 else connection.commit()

    def stop(self):
        self.halt.set()
        if self.writer.is_alive():
            self.writer.join(20)

    def problems(self):
        found = []
        sql = "SELECT id, md5(items::text) FROM items"
        here, there = (set(self.server.execute(sql, dbname=name)) for name in (self.source, self.target))
        if here != there:
            found.append(f"{len(here - there)} rows lost, {len(there - here)} left over")
        backwards = self.server.execute("SELECT * FROM backwards", dbname=self.target)
        if backwards:
            found.append(f"order lost: {backwards[:3]}")
        return found

    def count(self):
        return self.server.execute("SELECT count(*) FROM items", dbname=self.target)[0][0]

    def drop(self):
        self.stop()
        active = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{self.slot}' AND active"
        until(lambda: not self.server.execute(active), "the slot to be free")
        self.server.execute(f"SELECT pg_drop_replication_slot('{self.slot}')", dbname=self.source)
        for name in (self.source, self.target):
            self.server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def databases(postgres):
    made = Databases(postgres, seed=3)
    yield made
    made.drop()


def rig_between(databases, folder, reader="dstream-in-postgres", mutant=None, **environment):
    rig = Rig(folder, mutant=mutant, options={"attempts": 30, "until_idle": False})
    rig.spec["input"] = {
        "path": provider(reader, folder, **environment),
        "config": {
            "connection_string": databases.server.dsn(databases.source), "tables": ["items"], "slot": databases.slot,
            "publication": "dstream_t", "snapshot": "initial", "checkpoint_interval": 20, "chunk_rows": 50,
        },
    }  # fmt: skip
    rig.spec["output"] = {
        "path": provider("dstream-out-postgres", folder),
        "config": {"connection_string": databases.server.dsn(databases.target)},
    }
    return rig


def finish(rig):
    """Move everything that is there, and end."""
    rig.spec["options"]["until_idle"] = True
    outcome = rig.run_to_the_end()
    rig.spec["options"]["until_idle"] = False
    return outcome


def run_until_hit(rig, fault, seconds=200):
    """Run until the process at the fault point has died, and for a moment more."""
    host = rig.start(fault)
    try:
        if fault.startswith("after_") and "sink" not in fault:
            assert host.wait(seconds) == -9
            return
        log = iter(host.stderr.readline, "")
        assert any("restarting" in line for line in log), "the fault was never hit"
        assert any("session" in line for line in log)
    finally:
        host.kill()
        host.communicate()


FAULTS = [
    "mid_snapshot", "mid_transaction", "mid_line", "after_sink_before_ack", "after_ack_before_store",
    "after_store_before_commit",
]  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.soak)])
@pytest.mark.parametrize("fault", FAULTS)
def test_tables_are_equal_after_deaths_at_a_fault_point(databases, tmp_path, fault, times):
    rig = rig_between(databases, tmp_path)
    databases.writer.start()
    for passage in range(1, times + 1):
        if fault == "mid_snapshot" and passage > 1:
            # Reading starts over in a task that has no checkpoint: neither here nor in the target.
            databases.server.execute("DROP TABLE IF EXISTS dstream_checkpoint", dbname=databases.target)
            databases.server.execute("TRUNCATE items", dbname=databases.target)
            start_over(rig, databases)
        run_until_hit(rig, f"{fault}:{1 + passage % 3}")
    databases.stop()
    finish(rig)
    assert databases.problems() == []


def start_over(rig, databases):
    from dstream_state import open_backend

    with open_backend("local", {}, root=rig.folder).task("t").acquire("test", 10) as lease:
        lease.reset()
    active = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{databases.slot}' AND active"
    until(lambda: not databases.server.execute(active), "the slot to be free")
    databases.server.execute(f"SELECT pg_drop_replication_slot('{databases.slot}')", dbname=databases.source)
    databases.server.execute(
        f"SELECT pg_create_logical_replication_slot('{databases.slot}', 'pgoutput')", dbname=databases.source
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.soak)])
def test_tables_are_equal_after_random_kills(databases, tmp_path, kills):
    rig = rig_between(databases, tmp_path)
    databases.writer.start()
    dice = random.Random(kills)
    host = rig.start()
    for _ in range(kills):
        until(lambda host=host: len(rig.processes()) == 2 or host.poll() is not None, "both providers")
        time.sleep(dice.uniform(0.1, 1.0))  # a moment at random: nothing is awaited
        before = rig.processes()
        rig.kill_one(host, dice)
        until(lambda host=host, before=before: rig.processes() != before or host.poll() is not None, "a victim's end")
        if host.poll() is not None:
            host.communicate()
            host = rig.start()
    host.terminate()
    host.communicate(timeout=200)
    databases.stop()
    finish(rig)
    assert databases.problems() == []


def test_the_snapshot_is_handed_over_by_visibility(databases, tmp_path):
    rig = rig_between(databases, tmp_path, "lsn_handover_in")
    databases.writer.start()
    host = rig.start()
    until(lambda: databases.count() > 0, "the first row")
    databases.stop()
    host.terminate()
    host.communicate(timeout=200)
    finish(rig)
    assert databases.problems() == []


def test_handing_over_by_position_is_noticed(databases, tmp_path):
    rig = rig_between(databases, tmp_path, "lsn_handover_in", MUTANT="1")
    databases.writer.start()
    host = rig.start()
    until(lambda: databases.count() > 0, "the first row")
    databases.stop()
    host.terminate()
    host.communicate(timeout=200)
    finish(rig)
    assert any("lost" in problem for problem in databases.problems())
