"""Handshake: the error answer to an opening line, and the last line of a session that cannot continue."""

from __future__ import annotations

from dstream_sdk.channel import Writer, encode, log
from dstream_sdk.errors import HostGone, ProviderError


def refuse(writer: Writer, problem: Exception) -> int:
    """Write `{"status":"error"}` with the diagnostics of `problem`; return the exit code."""
    if isinstance(problem, HostGone):
        return 1
    if not isinstance(problem, ProviderError):
        log(f"error: {type(problem).__name__}: {problem}")
        problem = ProviderError("Provider failed", f"{type(problem).__name__}: {problem}")
    writer.send(encode({"status": "error", "diagnostics": problem.diagnostics()}))
    return 1
