"""DataFault: what a test has happen to the next messages. Throttle: a pause that the service asks for.

Source of the text: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-throttling ("The request was
terminated because the entity is being throttled. Error code: 50009. Please wait 2 seconds and try again.").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class DataFault:
    """What happens to the next messages that are sent to an entity ("" is any)."""

    entity: str
    condition: str = ""
    """The message is refused with this, before it is stored or, with `stored`, after."""
    drop: bool = False
    """The connection breaks."""
    stored: bool = False
    silent: bool = False
    """No answer comes."""
    delay: float = 0.0
    times: int = 1


@dataclass
class Throttle:
    """An entity takes nothing for some seconds after it has refused a message."""

    seconds: int
    until: float | None = None
    early: int = 0
    """Messages that came before the pause was over."""

    def refuses(self, now: float) -> str | None:
        """Return the text with which a message is refused at the time `now`."""
        if self.until is not None and now >= self.until:
            return None
        self.early += self.until is not None
        if self.until is None:
            self.until = now + self.seconds
        return (
            "The request was terminated because the entity is being throttled. Error code: 50009. "
            f"Please wait {self.seconds} seconds and try again."
        )
