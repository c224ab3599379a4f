"""An output in ten lines: it appends upper-case lines to a file, and confirms what the disk has."""

import os

from dstream_sdk import Output, Provider, main


class Shout(Output[dict]):
    def open(self, config, session):
        self.file = os.open(config["path"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, lines):
        os.write(self.file, b"".join(line.upper() + b"\n" for line in lines))

    def flush(self, checkpoint):
        os.fsync(self.file)


main(Provider("shout", "1.0.0", output=Shout()))
