"""PumpHandler: the callbacks of the pump."""

from __future__ import annotations


class PumpHandler:
    """The methods are called in the pump's thread; what one of them raises ends the pump. These do nothing."""

    def before_write(self) -> None:
        """Return if the pump may write."""

    def on_first_line(self, line: bytes) -> int:
        """Return how many bytes at the start of the first line are not passed on: all, if it is an answer."""
        return 0

    def on_checkpoint(self, line: bytes, records: int) -> None:
        """Take a checkpoint line before it is written; `records` were passed on before it."""

    def on_last_line(self, line: bytes) -> None:
        """Take, where delivery is confirmed, the last line of an input that cannot continue."""

    def on_text(self, lines: list[bytes]) -> None:
        """Take lines that are not envelopes, without their newlines; they are not passed on."""

    def on_skipped(self, lines: list[bytes]) -> None:
        """Take the records that are left out."""

    def on_oversized(self, line: bytes) -> None:
        """Take a record that is longer than the limit, without its newline; it is not passed on."""

    def settle(self) -> None:
        """Wait until the checkpoint passed on last is acknowledged."""
