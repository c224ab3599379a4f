"""Volatile outputs: they change without an update. They are recorded on create and update, and never count as drift."""

from __future__ import annotations

import re

_VOLATILE = re.compile(
    r"(?:^|_)(?:etag|count|count_details|size_in_bytes|system_data)$"
    r"|_(?:at|time|date|timestamp)$"
    r"|^(?:last|accessed|updated|modified)_"
)


def is_volatile(attribute: str) -> bool:
    """Return whether the name is that of a timestamp or counter: `updated_at`, `message_count`, `etag`."""
    return _VOLATILE.search(attribute) is not None
