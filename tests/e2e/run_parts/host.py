"""A host process of its own, so that it can be killed: runs one flow as a specification says, prints the outcome.

python host.py SPEC.json          members: root, name, input, output ({path, config, env}), options, mutant
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from dstream.diagnostics import DiagnosticsError
from dstream.plugins import ProviderSource, probe, resolve
from dstream.registry.machine_records import MachineRecords
from dstream.run import Endpoint, Flow, RunOptions, Silent, Stop, on_signals, run_flow
from dstream.run.fork_servers import CAN_FORK, FORKS, Begin, ForkServers, begin_alone
from dstream_state import LeaseLost, open_backend
from tests.e2e.run_parts.mutants import MUTANTS


class Logging(Silent):
    def log(self, flow, side, line):
        print(f"{side}: {line}", file=sys.stderr, flush=True)

    def restarting(self, flow, diagnostics, delay, attempt):
        print("restarting:", *(each.detail for each in diagnostics), file=sys.stderr, flush=True)

    def session_started(self, flow, number, checkpoint):
        print("session", number, checkpoint, file=sys.stderr, flush=True)

    def problem(self, flow, diagnostic):
        print("problem:", diagnostic.detail, file=sys.stderr, flush=True)


class ShortLived:
    """A store whose lease is lost after some checkpoints, by another thread, as that of a machine in suspension."""

    def __init__(self, store, checkpoints):
        self.tasks, self.left = store, checkpoints
        self.lost = threading.Event()
        self.callbacks = []

    def read(self):
        return self.tasks.read()

    def acquire(self, *arguments):
        self.lease = self.tasks.acquire(*arguments)
        return self

    def lose(self):
        self.lost.set()
        for callback in self.callbacks:
            callback()

    def on_lost(self, callback):
        self.callbacks.append(callback)

    def ensure(self):
        if self.lost.is_set():
            raise LeaseLost("its time was up.")
        self.lease.ensure()

    def store(self, checkpoint):
        self.ensure()
        self.lease.store(checkpoint)
        self.left -= 1
        if self.left == 0:
            threading.Thread(target=self.lose).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lease.release()

    def __getattr__(self, name):
        return getattr(self.lease, name)


def endpoint(form, role, root: Path) -> Endpoint:
    source = ProviderSource(form.get("kind", "path"), form["path"], tuple(form.get("env", ())))
    binary = resolve(source, root, role)
    return Endpoint(binary, probe(binary, records=MachineRecords(root / "cache")), form["config"])


def forked(flow: Flow) -> Begin:
    """Fork each process, from a server of its own: only the first server of a side has the fault of a test."""

    def begin(name, side, inherit):
        assert CAN_FORK and FORKS in side.info.capabilities
        return ForkServers([flow], worthwhile=1).begin(name, side, inherit)

    return begin


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    root = Path(spec["root"])
    name = spec["name"]
    try:
        flow = Flow(
            name,
            name,
            endpoint(spec["input"], "input", root),
            endpoint(spec["output"], "output", root),
            tuple(spec.get("streams", ())),
        )
        store = open_backend("local", {}, root=root).task(name)
        if "lease_ends_after" in spec:
            store = ShortLived(store, spec["lease_ends_after"])
        usual = {"first_delay": 0.05, "store_interval": 0.0, "lock_timeout": 20}
        options = RunOptions(**{**usual, **spec.get("options", {})})
        stop = Stop()
        with on_signals(stop):
            outcome = run_flow(
                flow, store, options, Logging(), stop,
                session=MUTANTS[spec.get("mutant")], begin=forked(flow) if spec.get("forks") else begin_alone,
            )  # fmt: skip
    except DiagnosticsError as problem:
        print(json.dumps({"status": "failed", "details": [each.detail for each in problem.diagnostics]}), flush=True)
        sys.exit(1)
    print(
        json.dumps(
            {
                "status": outcome.status,
                "records": outcome.totals.records,
                "details": [f"{each.summary}: {each.detail}" for each in outcome.diagnostics],
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
