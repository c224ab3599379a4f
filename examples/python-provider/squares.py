#!/usr/bin/env python3
from dataclasses import dataclass

from dstream_sdk import Input, Provider, main, setting


@dataclass
class Settings:
    up_to: int = setting(10, description="the last number to square")


class Squares(Input[Settings]):
    def run(self, config, session):
        start = (session.checkpoint_position or {"n": 0})["n"]
        for n in range(start + 1, config.up_to + 1):
            session.emit({"n": n, "square": n * n}, {"TableName": "squares", "OperationType": "Insert"})
            session.checkpoint({"n": n})


main(Provider("squares", "1.0", input=Squares()))
