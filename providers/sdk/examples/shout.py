"""An output in ten lines: it appends upper-case lines to a file, and confirms what is on disk."""

from dstream_sdk import Output, Provider, main
from dstream_sdk.files import AppendedFile


class Shout(Output[dict]):
    def open(self, config, session):
        self.file = AppendedFile(config["path"])

    def write(self, lines):
        self.file.append(b"".join(line.upper() + b"\n" for line in lines))

    def flush(self, checkpoint):
        self.file.sync()


main(Provider("shout", "1.0.0", output=Shout()))
