"""Unsteady outputs: they change without an update. They are recorded on create and update, and are never drift."""

from __future__ import annotations

import re

_UNSTEADY = re.compile(
    r"(?:^|_)(?:etag|count|count_details|size_in_bytes|system_data)$"
    r"|_(?:at|time|date|timestamp)$"
    r"|^(?:last|accessed|updated|modified)_"
)


def is_unsteady(attribute: str) -> bool:
    """Return whether an output of that name is a clock or a counter: `updated_at`, `message_count`, `etag`."""
    return _UNSTEADY.search(attribute) is not None
