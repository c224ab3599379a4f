"""Broken sessions, to show that the tests for lost changes are able to fail."""

from __future__ import annotations

import threading
import time

from dstream.run.checkpoint_tracker import CheckpointTracker
from dstream.run.committer import Committer
from dstream.run.driver import Driver
from dstream.run.provider_handle import ProviderHandle
from dstream.run.pump import Pump, PumpOptions
from dstream.run.session import Session
from dstream.run.session_providers import Providers


class StoreFirst(Session):
    """Stores a checkpoint as soon as it was passed on, without waiting for the acknowledgement."""

    def make_tracker(self):
        session = self

        class Eager(CheckpointTracker):
            def sent(self, line, records):
                super().sent(line, records)
                super().acknowledged(line)
                session.committer.notify()

            def acknowledged(self, line):
                pass

        return Eager()


class CommitFirst(Session):
    """Commits to the input before the checkpoint is stored, and waits in between to be killed."""

    def make_committer(self):
        committer = super().make_committer()

        class Hasty(Committer):
            def store(self, sent):
                super().commit(sent)
                threading.Event().wait()
                super().store(sent)

            def commit(self, sent):
                pass

        committer.__class__ = Hasty
        return committer


class InputAlone(Session):
    """Joins a new input to the old output when an input dies."""

    def make_driver(self):
        driver = super().make_driver()
        driver.__class__ = Joining
        driver.again = 0
        return driver

    def on_ready(self):
        if self.driver.again == 0:
            super().on_ready()
        else:
            self.committer.attach(self.driver._providers.input.process.stdin)


class Joining(Driver):
    """Starts another input when one has ended without an end line."""

    def finish(self, pump):
        context = self._context
        if pump.ended or context.stop.requested or self.again > 20:
            super().finish(pump)
            return
        self.again += 1
        old = self._providers
        old.input.process.wait(5)
        while self._tracker.outstanding:
            time.sleep(0.01)  # even a careful one, which lets the old input's checkpoints come back first
        endpoint = context.flow.input
        new = ProviderHandle(
            "input", endpoint, lambda: context.begin("input", endpoint, context.lease.inherit_fds), print
        )
        new.started()
        self._providers = Providers(new, old.output)
        stored = context.lease.checkpoint
        self._committer.position = stored.position if stored is not None else None
        self._tracker._last_sent = self._tracker._last_acknowledged = 0
        self._tracker._outstanding.clear()
        self.open_input()
        self.pump = Pump(new.process.stdout, old.output.process.stdin, PumpOptions(True, 1 << 24), self)
        self.pump.run()
        self.finish(self.pump)


MUTANTS = {
    None: Session,
    "store_first": StoreFirst,
    "commit_first": CommitFirst,
    "input_alone": InputAlone,
}
