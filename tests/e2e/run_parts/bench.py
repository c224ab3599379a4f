"""Flows in the test process: providers that are written on the spot, a store in memory, and what is reported."""

import sys
import threading

from dstream.plugins import ProviderSource, probe, resolve
from dstream.run import Endpoint, Flow, RunOptions, Silent, run_flow
from dstream_state import open_backend
from tests.e2e.run_parts.rig import provider

PYTHON = """#!/bin/sh
exec '{python}' -S '{script}'
"""
PROBED = """
import json, os, sys, time
if os.environ.get("DSTREAM_PROBE"):
    print(json.dumps({"protocol": 2, "provider": {"name": "p", "version": "1"}, "roles": ["input", "output"],
                      "capabilities": ["checkpoint"]}))
    sys.exit()
def say(line):
    sys.stdout.write(line + "\\n"); sys.stdout.flush()
opening = json.loads(sys.stdin.readline())
"""


class Notes(Silent):
    """Keeps what is reported."""

    def __init__(self):
        self.texts, self.logs, self.problems, self.restarts, self.started, self.reports = [], [], [], [], [], []
        self.soon = []

    def text(self, flow, line):
        self.texts.append(line)

    def log(self, flow, side, line):
        self.logs.append((side, line))

    def problem(self, flow, diagnostic):
        self.problems.append(diagnostic.summary)

    def restarting(self, flow, diagnostics, delay, attempt):
        self.restarts.append((diagnostics[0].summary, delay, attempt))

    def session_started(self, flow, number, checkpoint):
        self.started.append(checkpoint)
        for seconds, action in self.soon:
            threading.Timer(seconds, action).start()

    def progress(self, flow, progress):
        self.reports.append(progress)


class Bench:
    """A folder to write providers in, a store, and one flow at a time."""

    def __init__(self, folder):
        self.folder = folder
        self.notes = Notes()
        self.store = open_backend("memory", {}, root=folder).task("t")
        self.got = folder / "got"

    def shell(self, name, body):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(0o755)
        return str(path)

    def python(self, name, body, head=PROBED):
        script = self.folder / f"{name}.py"
        script.write_text(head + body)
        return self.shell(name, PYTHON.format(python=sys.executable, script=script).split("\n", 1)[1])

    def flow(self, source, sink, source_config=None, sink_config=None, secrets=()):
        return Flow("t", "t", self.endpoint(source, "input", source_config, secrets),
                    self.endpoint(sink, "output", sink_config, secrets))  # fmt: skip

    def endpoint(self, path, role, config=None, secrets=()):
        kind = "path" if "/" in path else "name"
        binary = resolve(ProviderSource(kind, path), self.folder, role)
        return Endpoint(binary, probe(binary), config or {}, secrets)

    def run(self, flow, stop=None, **options):
        usual = {"first_delay": 0.02, "store_interval": 0.0, "idle_seconds": 0.5, "start_timeout": 20}
        return run_flow(flow, self.store, RunOptions(**{**usual, **options}), self.notes, stop)

    @property
    def sequence(self):
        return provider("sequence_in", self.folder)

    @property
    def ledger(self):
        return provider("ledger_out", self.folder)

    def numbers(self):
        return [int(line.split()[2]) for line in self.got.read_text().splitlines() if line.startswith("R")]


SINK = 'read -r opening; echo "$opening" >"$0.opening"; cat >"$0.got"'


def detail(outcome):
    return "\n".join(f"{each.summary}: {each.detail}" for each in outcome.diagnostics)


def moving(bench, tmp_path, **source):
    config = {"total": 100, "slot": str(tmp_path / "slot"), **source}
    return bench.flow(bench.sequence, bench.ledger, config, {"path": str(bench.got)})
