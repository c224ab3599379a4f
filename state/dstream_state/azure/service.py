"""One container of Azure Blob Storage through its official client, `azure-storage-blob`, with separate retries.

The client repeats requests by itself, which turns a lost answer into a wrong one (a line appended twice, a conflict
with oneself). Here its retries are off, and an error has whether the request was sent more than once, so that the
caller can look up its effect. The client is imported when it is first needed: that takes a third of a second.

Source: https://learn.microsoft.com/python/api/azure-storage-blob/ and
https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from dstream_state.azure.refusals import refusal
from dstream_state.azure.retries import (
    CONNECT_SECONDS,
    RETRY_SECONDS,
    TRANSIENT,
    UNREACHED_SECONDS,
    Pauses,
    retry_after,
)
from dstream_state.errors import StateUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobClient, ContainerClient

    Credential: TypeAlias = AzureNamedKeyCredential | AzureSasCredential | TokenCredential

API_VERSION = "2021-12-02"
"""Old enough for every Azurite and for Azure Stack, new enough for seals."""
READ_SECONDS = 30.0
SLOWEST_UPLOAD = 50_000.0
"""Bytes per second: a connection that is slower counts as broken."""

T = TypeVar("T")


class Rejected(Exception):
    """The service rejected a request.

    `status` is the HTTP status, `code` the error code such as LeaseAlreadyPresent (empty if there is none). `repeated`:
    the request was sent before, and the outcome of that is unknown.
    """

    def __init__(self, status: int, code: str, *, repeated: bool) -> None:
        """Take the parts of the response."""
        super().__init__(f"{status} {code}")
        self.status, self.code, self.repeated = status, code, repeated


class BlobService:
    """A container, and how to get in. Thread-safe; connections are kept and used again."""

    def __init__(
        self,
        endpoint: str,
        container: str,
        credential: Callable[[], Credential],
        *,
        retry_seconds: float = RETRY_SECONDS,
        first_pause: float = 0.1,
        read_seconds: float = READ_SECONDS,
        **client: Any,
    ) -> None:
        """Talk to the account at `endpoint`, an http or https address. Nothing is sent, or imported, yet.

        Requests are repeated for `retry_seconds`, after `first_pause` seconds, then twice as many, and so on; an answer
        is waited for `read_seconds`. Other arguments are passed to the client (`transport`, `connection_verify`).
        """
        self.endpoint, self.container = endpoint.rstrip("/"), container
        self._credential, self._options = credential, client
        self._retry_seconds, self._first_pause, self._read_seconds = retry_seconds, first_pause, read_seconds
        self._lock = threading.Lock()
        self._client: ContainerClient | None = None
        self._answered = False
        """Whether anything was ever heard from the account."""

    def client(self) -> ContainerClient:
        """Return the official client of the container."""
        with self._lock:
            if self._client is None:
                from azure.storage.blob import ContainerClient

                self._client = ContainerClient(
                    self.endpoint,
                    self.container,
                    self._credential(),
                    retry_total=0,
                    api_version=API_VERSION,
                    user_agent="dstream",
                    **self._options,
                )
            return self._client

    def blob(self, name: str) -> BlobClient:
        """Return the official client of a blob."""
        return self.client().get_blob_client(name)

    def call(self, method: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a method of the clients until the answer is not a transient error.

        Raises Rejected for every other answer than success, and StateUnavailable after `retry_seconds` of trying, when
        access is refused, and when there is no such container.
        """
        return self.call_within(self._retry_seconds, self._read_seconds, method, *arguments, **named)

    def call_within(
        self, retry_seconds: float, timeout: float, method: Callable[..., T], *given: Any, **named: Any
    ) -> T:
        """Do as `call` does, but try for `retry_seconds` and wait `timeout` seconds for one answer."""
        from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError

        for_answers, repeated = Pauses(retry_seconds, self._first_pause), False
        unreached = Pauses(min(retry_seconds, UNREACHED_SECONDS), self._first_pause)
        timeout += sum(len(each) for each in given if isinstance(each, bytes)) / SLOWEST_UPLOAD
        limits = {"connection_timeout": min(timeout, CONNECT_SECONDS), "read_timeout": timeout}
        while True:
            wait, pauses = 0.0, for_answers
            try:
                answer = method(*given, **named, **limits)
                self._answered = True
                return answer
            except HttpResponseError as error:
                self._answered = True
                status, code = error.status_code or 0, _code(error)
                if status not in TRANSIENT and not 200 <= status < 300:
                    raise self._final(status, code, repeated=repeated) from error
                trouble = f"{self.endpoint} returned {status} {code}"
                wait = retry_after(getattr(error.response, "headers", {}))
            except AzureError as error:
                trouble = f"{self.endpoint} does not answer ({error})"
                if isinstance(error, ServiceRequestError) and not self._answered:
                    pauses = unreached  # there is no connection, maybe no such account
            repeated = True
            if not pauses.wait(wait):
                raise StateUnavailable(f"{trouble}. Check the network and the account, then run the operation again.")

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _final(self, status: int, code: str, *, repeated: bool) -> Exception:
        reason = refusal(status, code)
        if reason:
            return StateUnavailable(f"{self.endpoint} returned {status} {code}: {reason}.")
        if code == "ContainerNotFound":
            return StateUnavailable(
                f"The container {self.container!r} does not exist at {self.endpoint}. To create it, run: dstream init, "
                f"or: az storage container create --name {self.container}"
            )
        return Rejected(status, code, repeated=repeated)


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(code.value if isinstance(code, Enum) else code or "")
