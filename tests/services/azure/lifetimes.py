"""What time brings about on a connection: idle links and connections are closed, and links of expired tokens.

Sources: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-troubleshoot (a link without a call
for 10 minutes: `amqp:link:detach-forced`; a connection without a link for 5 minutes: `amqp:connection:forced`), and
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide ("When a token expires, Service
Bus promptly drops all links on the connection to the respective entity").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from tests.services.azure.amqp.codec import Described
from tests.services.azure.amqp.connection import Connection, Link, problem

IDLE_LINK, IDLE_CONNECTION = 600.0, 300.0
TOKEN_SECONDS = 3600.0
"""How long a token of Microsoft Entra ID lasts here; a shared access signature names its end."""


def expiry(token: str, now: float) -> float:
    """Return when a token ends."""
    found = re.search(r"(?:^|&)se=(\d+)", unquote(token.removeprefix("SharedAccessSignature ")))
    return float(found[1]) if found else now + TOKEN_SECONDS


def over(connection: Connection, now: float) -> Iterator[tuple[Link, Described]]:
    """Yield the links of a connection whose time is over, with the error that tells why."""
    expired = [path for path, at in connection.note.get("expiries", {}).items() if at < now]
    for link in [each for each in list(connection.links.values()) if each.open and each.what is not None]:
        end = link.what
        if end.kind != "entity":
            continue
        if any(end.path.lower() == path or end.path.lower().startswith(f"{path}/") or not path for path in expired):
            text = f"ExpiredToken: The token is expired. Resource: {end.path}"
            yield link, problem("amqp:unauthorized-access", text)
        elif now - end.used > IDLE_LINK and not (link.sending and link.credit > 0):
            who = "AmqpMessagePublisher" if not link.sending else "AmqpMessageConsumer"
            text = (
                f"The link '{link.name}' is force detached by the broker due to errors occurred in publisher. "
                f"Detach origin: {who}.IdleTimerExpired: Idle timeout: 00:10:00."
            )
            yield link, problem("amqp:link:detach-forced", text)


def abandoned(connection: Connection, now: float) -> Described | None:
    """Return the error with which a connection is closed that has had no link to an entity for 5 minutes."""
    used = any(each.open and each.what is not None and each.what.kind == "entity" for each in connection.links.values())
    since = connection.note.setdefault("without links", now)
    if used:
        connection.note["without links"] = now
    elif now - since > IDLE_CONNECTION:
        text = "The connection was inactive for more than the allowed 300000 milliseconds and is closed by container."
        return problem("amqp:connection:forced", text)
    return None
