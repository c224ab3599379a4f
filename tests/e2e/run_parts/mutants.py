"""Broken sessions, to show that the tests for lost changes are able to fail."""

from __future__ import annotations

import time

from dstream.run.checkpoint_tracker import Ledger
from dstream.run.committer import Settler
from dstream.run.pump import Pump
from dstream.run.session import Session


class StoreFirst(Session):
    """Stores a checkpoint as soon as it was passed on, without waiting for the acknowledgement."""

    def make_ledger(self):
        session = self

        class Eager(Ledger):
            def sent(self, line, records):
                super().sent(line, records)
                super().acknowledged(line)
                if session.settler is not None:
                    session.settler.notify()

            def acknowledged(self, line):
                pass

        return Eager()


class CommitFirst(Session):
    """Commits to the input before the checkpoint is stored."""

    def make_settler(self):
        settler = super().make_settler()

        class Hasty(Settler):
            def store(self, sent):
                super().commit(sent)
                time.sleep(0.05)  # the input reads it, which takes it no longer than a store takes us
                super().store(sent)

            def commit(self, sent):
                pass

        settler.__class__ = Hasty
        return settler


class InputAlone(Session):
    """Joins a new input to the old output when an input dies."""

    def _ready(self):
        if self.settler is None:
            super()._ready()
        else:
            self.settler._to_input = self.input.process.stdin

    def _after_input(self, pump):
        from dstream.run.provider_handle import Side

        if pump.ended or self.stop.requested or getattr(self, "again", 0) > 20:
            super()._after_input(pump)
            return
        self.again = getattr(self, "again", 0) + 1
        flow = self.flow
        self.input.process.wait(5)
        while self.ledger.outstanding:
            time.sleep(0.01)  # even a careful one, which lets the old input's checkpoints come back first
        self.input = Side("input", flow.input, self.lease.inherit_fds, print)
        self.input.started()
        stored = self.lease.checkpoint
        self.position = stored.position if stored is not None else None
        ledger = self.ledger
        ledger._last_sent = ledger._last_acknowledged = 0
        ledger._outstanding.clear()
        self._open_input(True)
        new = Pump(
            self.input.process.stdout,
            self.output.process.stdin,
            controls=True,
            max_record_bytes=1 << 24,
            before_write=self.lease.ensure,
            on_checkpoint=ledger.sent,
            on_first_line=self._first_line,
        )
        self.pump = new
        new.run()
        self._after_input(new)


MUTANTS = {
    None: Session,
    "store_first": StoreFirst,
    "commit_first": CommitFirst,
    "input_alone": InputAlone,
}
