"""A source of numbered changes that really lets go: what was committed cannot be read again.

Settings: total, every (a checkpoint after that many), keys, pause (seconds per checkpoint), ahead (how many checkpoints
may be on their way before the first of them is committed; 0: any number), linger (stay when all is read), slot (a file
that holds the number up to which the source has let go, as a replication slot does).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dstream_sdk import Input, Provider, ProviderError, main
from dstream_sdk.failpoints import fault


@dataclass
class Settings:
    total: int = 1000
    every: int = 10
    keys: int = 7
    pause: float = 0.0
    ahead: int = 0
    slot: str = ""
    linger: bool = False


class Sequence(Input[Settings]):
    def open(self, config, session):
        slot = Path(config.slot)
        released = int(slot.read_text()) if slot.exists() else 0
        start = (session.checkpoint_position or {"number": 0})["number"]
        if released > start:
            # Like a slot: what was released cannot be had again.
            raise ProviderError("Gap", f"the source has let go up to {released}, and the checkpoint is {start}")

    def run(self, config, session):
        slot = Path(config.slot)

        committed = start = (session.checkpoint_position or {"number": 0})["number"]

        def release(position):
            nonlocal committed
            slot.with_suffix(".new").write_text(str(position["number"]))
            slot.with_suffix(".new").replace(slot)
            committed = position["number"]

        session.on_committed(release)
        number = start
        while number < config.total and not session.stopping:
            for _ in range(config.every):
                number += 1
                session.emit({"number": number}, {"TableName": "t", "Key": {"key": number % config.keys}})
                if number % config.every == config.every // 2:
                    session.flush()
                    fault("mid_transaction")
            session.checkpoint({"source": "sequence", "number": number})
            if config.pause and session.wait(config.pause):
                break
            while config.ahead and number - committed >= config.ahead * config.every and not session.wait(0.005):
                pass
        while config.linger and not session.stopping:
            session.wait(0.2)


if __name__ == "__main__":
    main(Provider("sequence", "1", input=Sequence()))
