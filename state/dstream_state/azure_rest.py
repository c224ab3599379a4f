"""The REST interface of Azure Blob Storage over `http.client`: signing, connections, retries.

Azure's own client takes most of a second to import and repeats requests on its own, which turns a lost answer
into a wrong one (a line appended twice, a conflict with oneself). Here every answer says whether the request
was sent more than once, so that the caller can look up what happened.

Source: https://learn.microsoft.com/rest/api/storageservices/ (Blob service, authorize with shared key,
versioning).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import os
import random
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

from .errors import StateUnavailable

API_VERSION = "2021-12-02"
READ_SECONDS = 30.0
RETRY_SECONDS = 40.0
SLOWEST_UPLOAD = 50_000.0
"""Bytes per second: a connection that is slower counts as broken."""

_SPREAD = random.Random()  # noqa: S311 - spreads retries, guards nothing
_SIGNED = (
    *("Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date"),
    *("If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"),
)
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REASONS = {
    401: "it does not accept the credentials",
    403: "it refuses access. The account key or token may be wrong, or the identity lacks the role "
    "'Storage Blob Data Contributor' on the container",
}


class Authorization(Protocol):
    """How a request proves who sends it."""

    def sign(self, method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> None:
        """Add what is needed to `query` or `headers`. `path` is encoded, the values of `query` are not."""


class SharedKey:
    """The account's key: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""

    def __init__(self, account: str, key: str) -> None:
        """Take the account's name and its key in base64; raises ValueError if it is not base64."""
        self._account, self._key = account, base64.b64decode(key, validate=True)

    def sign(self, method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> None:
        """See `Authorization`."""
        values = [headers.get(name, "") for name in _SIGNED]
        values[2] = values[2] if values[2] != "0" else ""
        own = sorted((name.lower(), text) for name, text in headers.items() if name.lower().startswith("x-ms-"))
        lines = [method, *values, *(f"{name}:{text.strip()}" for name, text in own), f"/{self._account}{path}"]
        lines += [f"{name}:{query[name]}" for name in sorted(query)]
        digest = hmac.new(self._key, "\n".join(lines).encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {self._account}:{base64.b64encode(digest).decode()}"


class SasToken:
    """A shared access signature, appended to every address."""

    def __init__(self, token: str) -> None:
        """Take the token, with or without its question mark."""
        pairs = (part.partition("=") for part in token.strip().removeprefix("?").split("&") if part)
        self._query = {name: unquote(text) for name, _, text in pairs}

    def sign(self, method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> None:
        """See `Authorization`."""
        query.update(self._query)


class TokenSource(Protocol):
    """A credential of azure-identity."""

    def get_token(self, *scopes: str) -> AccessToken:
        """Return a token for these scopes."""


class AccessToken(Protocol):
    """A token and when it ends, in seconds since 1970."""

    @property
    def token(self) -> str:
        """The token."""

    @property
    def expires_on(self) -> int:
        """Its end."""


class BearerToken:
    """A token of Microsoft Entra ID (Azure AD), fetched anew five minutes before it ends."""

    def __init__(self, source: TokenSource) -> None:
        """Take a credential of azure-identity."""
        self._source, self._lock = source, threading.Lock()
        self._token: AccessToken | None = None

    def sign(self, method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> None:
        """See `Authorization`. Raises StateUnavailable when no token is to be had."""
        with self._lock:
            if self._token is None or self._token.expires_on - time.time() < 300:
                try:
                    self._token = self._source.get_token("https://storage.azure.com/.default")
                except Exception as error:  # azure-identity promises no base class
                    raise StateUnavailable(f"signing in to Azure failed: {error}") from error
            headers["Authorization"] = f"Bearer {self._token.token}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said. `repeated`.

    The request was sent before, and what became of that is not known.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    repeated: bool

    @property
    def code(self) -> str:
        """The error code, such as LeaseAlreadyPresent; empty if there is none."""
        return self.headers.get("x-ms-error-code", "")


class BlobService:
    """One storage account's blob service. Thread-safe; connections are kept and used again."""

    def __init__(
        self,
        endpoint: str,
        authorization: Authorization,
        *,
        retry_seconds: float = RETRY_SECONDS,
        first_pause: float = 0.1,
    ) -> None:
        """Talk to `endpoint`, an http or https address, perhaps with a path. Nothing is sent yet.

        Requests are repeated for `retry_seconds`, after `first_pause` seconds, then twice as many, and so on.
        """
        parts = urlsplit(endpoint)
        self.endpoint = endpoint.rstrip("/")
        self._secure, self._host = parts.scheme == "https", parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._base = parts.path.rstrip("/")
        self._authorization, self._retry_seconds, self._first_pause = authorization, retry_seconds, first_pause
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        retry_seconds: float | None = None,
        timeout: float = READ_SECONDS,
    ) -> Answer:
        """Send a request until it is answered with something that does not pass by itself.

        `path` is `container/blob`, not encoded; `timeout` is for one answer. Raises StateUnavailable after
        `retry_seconds` of trying, and when access is refused or the container is missing.
        """
        until = time.monotonic() + (self._retry_seconds if retry_seconds is None else retry_seconds)
        pause, repeated = self._first_pause, False
        patience = len(body) / SLOWEST_UPLOAD
        while True:
            wait = 0.0
            try:
                answer = self.once(
                    method, path, query or {}, headers or {}, body, repeated=repeated, timeout=timeout + patience
                )
            except (OSError, http.client.HTTPException) as error:
                repeated = True
                trouble = f"{self.endpoint} does not answer ({error or type(error).__name__})"
            else:
                if answer.status not in _TRANSIENT:
                    return self._checked(answer, path)
                repeated = True
                trouble = f"{self.endpoint} answers {answer.status} {answer.code}"
                wait = _seconds(answer.headers.get("retry-after", ""))
            wait = max(wait, pause * _SPREAD.uniform(0.5, 1.5))
            if time.monotonic() + wait > until:
                raise StateUnavailable(f"{trouble}. Check the network and the account, then run the operation again.")
            time.sleep(wait)
            pause = min(pause * 2, 5.0)

    def once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        *,
        repeated: bool = False,
        timeout: float = READ_SECONDS,
    ) -> Answer:
        """Send a request once. Raises OSError or HTTPException where no answer came."""
        encoded = f"{self._base}/{quote(path, safe='/~')}"
        parameters, lines = dict(query), dict(headers)
        lines["x-ms-version"] = API_VERSION
        lines["x-ms-date"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        lines["Content-Length"] = str(len(body))
        self._authorization.sign(method, encoded, parameters, lines)
        target = f"{encoded}?{urlencode(parameters, quote_via=quote)}" if parameters else encoded
        connection = self._connection(timeout)
        try:
            connection.request(method, target, body, lines)
            response = connection.getresponse()
            content = response.read()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        found = {name.lower(): text for name, text in response.getheaders()}
        return Answer(response.status, found, content, repeated)

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _checked(self, answer: Answer, path: str) -> Answer:
        if answer.status in _REASONS:
            reason = _REASONS[answer.status]
            raise StateUnavailable(f"{self.endpoint} answers {answer.status} {answer.code}: {reason}.")
        if answer.code == "ContainerNotFound":
            container = path.partition("/")[0]
            raise StateUnavailable(
                f"there is no container {container!r} at {self.endpoint}. `dstream init` makes it, or "
                f"`az storage container create --name {container}`."
            )
        return answer

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            idle.timeout = timeout
            if idle.sock is not None:
                idle.sock.settimeout(timeout)
            return idle
        proxy = _proxy("https" if self._secure else "http", self._host)
        host, port = (proxy.host, proxy.port) if proxy else (self._host, self._port)
        if self._secure:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=self._context()
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        if proxy is not None:
            connection.set_tunnel(self._host, self._port, dict(proxy.headers))
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if bundle := os.environ.get("REQUESTS_CA_BUNDLE"):
                self._tls.load_verify_locations(bundle)
        return self._tls


@dataclass(frozen=True, slots=True)
class _Proxy:
    """A proxy of the environment, with what it wants to be told."""

    host: str
    port: int
    headers: Mapping[str, str]


def _proxy(scheme: str, host: str) -> _Proxy | None:
    if not any(
        os.environ.get(name) for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or proxy_bypass(host):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return _Proxy(parts.hostname or "", parts.port or 8080, headers)


def _seconds(text: str) -> float:
    return min(float(text), 30.0) if text.isdigit() else 0.0
