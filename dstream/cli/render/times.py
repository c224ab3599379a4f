"""Times for people: in the time zone of the machine, or of TZ, with its name. JSON keeps UTC."""

from __future__ import annotations

from datetime import datetime


def local_time(text: str) -> str:
    """Return an ISO 8601 time as local time, such as `2026-12-01 07:15:03 CET`; any other text as it is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    if found.tzinfo is None:
        return text
    return found.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
