"""Handshake: the error answer to an opening line, and the last line of a session that cannot continue."""

from __future__ import annotations

from typing import Any

from dstream_sdk.channel import Writer, encode, log
from dstream_sdk.errors import HostGone, ProviderError


def refusal(problem: Exception) -> dict[str, Any]:
    """Return the answer `{"status":"error"}` with the diagnostics of `problem`; log what is a fault of the provider."""
    if not isinstance(problem, ProviderError):
        log(f"error: {type(problem).__name__}: {problem}")
        problem = ProviderError("Provider failed", f"{type(problem).__name__}: {problem}")
    return {"status": "error", "diagnostics": problem.diagnostics()}


def refuse(writer: Writer, problem: Exception) -> int:
    """Write `{"status":"error"}` with the diagnostics of `problem`; return the exit code."""
    if not isinstance(problem, HostGone):
        writer.send(encode(refusal(problem)))
    return 1
