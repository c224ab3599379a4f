"""Plugin errors: converts failed calls of a plugin to provider errors.

Many plugins report every error with the status UNKNOWN, so a few well-known texts are recognized too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dstream_sdk import ConflictError, DeniedError, InvalidError, ProviderError, RetriableError

if TYPE_CHECKING:
    import grpc

    from dstream_pulumi.protos import provider_pb2

_STATUS_DETAILS = "grpc-status-details-bin"
_BY_TEXT: tuple[tuple[type[ProviderError], re.Pattern[str]], ...] = (
    (ConflictError, re.compile(r"already exist|Code=\"?Conflict|StatusCode=409", re.IGNORECASE)),
    (RetriableError, re.compile(r"too ?many ?requests|throttl|StatusCode=(429|503)", re.IGNORECASE)),
    (DeniedError, re.compile(r"AuthorizationFailed|Unauthorized|Forbidden|StatusCode=(401|403)", re.IGNORECASE)),
    (InvalidError, re.compile(r"Code=\"?BadRequest|InvalidParameter|StatusCode=400", re.IGNORECASE)),
)


def to_provider_error(problem: grpc.RpcError, what: str) -> ProviderError:
    """Convert the error of a failed call. `what` names the call, such as `Create of Queue orders`."""
    import grpc

    kinds: dict[grpc.StatusCode, type[ProviderError]] = {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidError,
        grpc.StatusCode.ALREADY_EXISTS: ConflictError,
        grpc.StatusCode.ABORTED: RetriableError,
        grpc.StatusCode.DEADLINE_EXCEEDED: RetriableError,
        grpc.StatusCode.RESOURCE_EXHAUSTED: RetriableError,
        grpc.StatusCode.UNAVAILABLE: RetriableError,
        grpc.StatusCode.PERMISSION_DENIED: DeniedError,
        grpc.StatusCode.UNAUTHENTICATED: DeniedError,
        grpc.StatusCode.UNIMPLEMENTED: InvalidError,
    }
    code, text = problem.code(), problem.details() or ""
    kind = kinds.get(code)
    if kind is None:
        kind = next((kind for kind, pattern in _BY_TEXT if pattern.search(text)), ProviderError)
    return kind("Plugin reported an error", f"{what}: {text or code.name}")


def partial_state(problem: grpc.RpcError) -> provider_pb2.ErrorResourceInitFailed | None:
    """Return the object that exists in spite of the error: it was created or changed, but did not become ready."""
    from dstream_pulumi.protos import provider_pb2, status_pb2

    for entry in problem.trailing_metadata() or ():
        if entry.key == _STATUS_DETAILS:
            status = status_pb2.Status.FromString(entry.value)
            for detail in status.details:
                if detail.type_url.endswith("pulumirpc.ErrorResourceInitFailed"):
                    return provider_pb2.ErrorResourceInitFailed.FromString(detail.value)
    return None
