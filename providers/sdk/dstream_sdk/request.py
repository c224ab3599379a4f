"""Request: one line of the host in a session that answers requests."""

from __future__ import annotations

import json
from typing import Any

from dstream_sdk.errors import InvalidError


def parse_request(line: bytes) -> dict[str, Any]:
    """Return the request on a line; raise InvalidError unless it is a JSON object with an `id`."""
    try:
        request = json.loads(line)
    except ValueError as problem:
        raise InvalidError("Not a request", f"{problem}: {line[:200]!r}") from None
    if not isinstance(request, dict) or "id" not in request:
        raise InvalidError("Not a request", f"expected an object with an id: {line[:200]!r}")
    return request
