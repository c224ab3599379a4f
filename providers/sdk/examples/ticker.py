"""An input in ten lines: a record every second, which continues where it left off."""

from dstream_sdk import Input, Provider, main


class Ticker(Input[dict]):
    def run(self, config, session):
        n = (session.checkpoint_position or {"n": 0})["n"]
        while n < int(config.get("count", 10)) and not session.wait(float(config.get("seconds", 1))):
            n += 1
            session.emit({"n": n}, {"TableName": "ticks"})
            session.checkpoint({"n": n})


main(Provider("ticker", "1.0.0", input=Ticker()))
