"""A sink that buffers: only `flush` appends to its file, with the checkpoint if it is told to store that.

One line per session start, per record and per checkpoint, so that a test can read the whole story:
    S    R key number    C {"checkpoint"}
Settings: path, stores (whether the checkpoint is kept here), keeps (a mutant: writes at EOF without `end`), delay,
held (a file; nothing is flushed while it exists).
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass

from dstream_sdk import Output, Provider, main


@dataclass
class Settings:
    path: str = ""
    stores: bool = False
    keeps: bool = False
    delay: float = 0.0
    held: str = ""
    refuse: int = 0
    break_at: int = 0


class Ledger(Output[Settings]):
    stores_checkpoint = bool(os.environ.get("STORES"))

    def open(self, config, session):
        self.config, self.session = config, session
        self.waiting = []
        self.file = os.open(config.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        whole = os.pread(self.file, os.fstat(self.file).st_size, 0)
        if self.stores_checkpoint:
            # Records without their checkpoint are half a transaction: a real sink would have rolled them back.
            found = [line[2:] for line in whole.split(b"\n") if line.startswith(b"C ")]
            session.stored_checkpoint = json.loads(found[-1]) if found else None
        if whole and not whole.endswith(b"\n"):
            os.ftruncate(self.file, whole.rfind(b"\n") + 1)
        os.write(self.file, b"S\n")

    def write_envelopes(self, envelopes):
        for each in envelopes:
            number = each.data["number"]
            if number == self.config.break_at:
                raise RuntimeError(f"record {number} cannot be written")
            if self.config.refuse and number % self.config.refuse == 0:
                self.session.reject(each.line, "refused by the test")
            else:
                self.waiting.append(f"R {each.metadata['Key']['key']} {number}\n".encode())

    def flush(self, checkpoint):
        while self.config.held and os.path.exists(self.config.held):
            time.sleep(0.01)
        if self.config.delay:
            time.sleep(self.config.delay)
        lines = self.waiting
        self.waiting = []
        if self.stores_checkpoint and checkpoint is not None:
            lines = [*lines, b"C " + json.dumps(checkpoint).encode() + b"\n"]
        # One write of less than a page or so is as good as a transaction against SIGKILL.
        os.write(self.file, b"".join(lines))
        os.fsync(self.file)

    def close(self, ended):
        if self.config.keeps and not ended:
            self.flush(None)


if __name__ == "__main__":
    main(Provider("ledger", "1", output=Ledger()))
