"""Transport: HTTP requests to registries, with TLS, proxies, redirects, retries, and rules for plain http.

Plain http is spoken to loopback addresses and to registries that the settings of the machine call insecure, and
there only if the server turns out to speak no TLS. A certificate that does not hold is never a reason for it.
Certificate authorities are the system's, or those that SSL_CERT_FILE and SSL_CERT_DIR name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ProxyError, SSLError

from dstream import __version__
from dstream.registry.errors import RegistryError, Unreachable
from dstream.registry.oci.origins import origin, place_of, same_origin, target_of
from dstream.registry.settings import Settings

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_REDIRECTS = 5
_DRAINED = 1 << 16
_TRIES = 4
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 30.0
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST|UNKNOWN_PROTOCOL|RECORD_LAYER_FAILURE")
# The part of a redirected request that a proxy or another host receives.
_CREDENTIALS = frozenset({"authorization"})


class Transport:
    """Sends requests. One instance per command; connections are pooled. Thread-safe."""

    def __init__(self, settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the settings of the machine; `sleep` waits between tries."""
        self._settings = settings
        self._sleep = sleep
        self._schemes: dict[str, str] = {}
        self._pools: dict[str | None, urllib3.PoolManager] = {}

    def scheme(self, host: str) -> str:
        """Return "https", or "http" for a host that is allowed plain http and does not support TLS."""
        if host not in self._schemes:
            self._schemes[host] = "http" if self._plain_allowed(host) and not self._accepts_tls(host) else "https"
        return self._schemes[host]

    def may_see_secrets(self, url: str) -> bool:
        """Return whether credentials may be sent to a URL: over TLS, or if plain http is allowed."""
        try:
            scheme = origin(url)[0]
        except RegistryError:
            return False
        return scheme == "https" or self._plain_allowed(place_of(url))

    @contextlib.contextmanager
    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Path | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a request, and yield the response with its body unread; redirects of reading requests are followed.

        Reading requests are retried. The `url` of the response is the one that answered. Raise Unreachable if there is
        no response, and RegistryError rather than send anything over plain http where that is not allowed.
        """
        response = self._followed(method, url, dict(headers or {}), body)
        try:
            yield response
        finally:
            # What was not read has to be, before the connection is of use again.
            if (response.length_remaining or 0) <= _DRAINED:
                response.drain_conn()
                response.release_conn()
            else:
                response.close()

    def _followed(
        self, method: str, url: str, headers: dict[str, str], body: bytes | Path | None
    ) -> urllib3.BaseHTTPResponse:
        for _ in range(_REDIRECTS + 1):
            if self._settings.offline:
                raise Unreachable("Offline", f"{place_of(url)} was not contacted because DSTREAM_OFFLINE is set.")
            if not self.may_see_secrets(url):
                detail = f"{url.partition('?')[0]} is not encrypted, and plain http is not allowed for its host."
                raise RegistryError("Redirect to plain http", f"{detail} Nothing was sent there.")
            response = self._tried(method, url, headers, body)
            response.url = url
            place = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not place or method not in ("GET", "HEAD"):
                return response
            response.drain_conn()
            response.release_conn()
            target = target_of(url, place)
            if not same_origin(url, target):
                headers = {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}
            url = target
        raise RegistryError("Too many redirects", f"{place_of(url)} redirects in a loop.")

    def _tried(
        self, method: str, url: str, headers: dict[str, str], body: bytes | Path | None
    ) -> urllib3.BaseHTTPResponse:
        reading = method in ("GET", "HEAD")
        wait = 0.5
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1 or not reading
            try:
                response = self._once(method, url, headers, body)
            except (MaxRetryError, HTTPError, OSError) as problem:
                if last or isinstance(_cause(problem), ssl.SSLError | SSLError):
                    raise Unreachable("Registry unreachable", _explain(url, problem)) from problem
            else:
                if last or response.status not in _AGAIN:
                    return response
                wait = max(wait, _retry_after(response.headers.get("Retry-After", "")))
                response.drain_conn()
                response.release_conn()
            self._sleep(min(wait, _LONGEST_WAIT))
            wait *= 2
        raise AssertionError("the last try returns or raises")

    def _once(
        self, method: str, url: str, headers: dict[str, str], body: bytes | Path | None
    ) -> urllib3.BaseHTTPResponse:
        options: dict[str, Any] = {
            "headers": {"User-Agent": f"dstream/{__version__}", **headers},
            "preload_content": False,
            "redirect": False,
            "retries": False,
            "timeout": urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        }
        pool = self._pool(_proxy_for(url))
        if isinstance(body, Path):
            options["headers"]["Content-Length"] = str(body.stat().st_size)
            with body.open("rb") as file:
                return pool.request(method, url, body=file, **options)
        return pool.request(method, url, body=body, **options)

    def _pool(self, proxy: str | None) -> urllib3.PoolManager:
        if proxy not in self._pools:
            self._pools[proxy] = _new_pool(proxy)
        return self._pools[proxy]

    def _plain_allowed(self, host: str) -> bool:
        return self._settings.insecure(host) or is_loopback(host)

    def _accepts_tls(self, host: str) -> bool:
        if self._settings.offline:
            return True
        try:
            response = self._once("GET", f"https://{host}/v2/", {}, None)
            response.drain_conn()
            response.release_conn()
        except (MaxRetryError, HTTPError, OSError) as problem:
            return not _NO_TLS.search(str(problem))
        return True


def _retry_after(text: str) -> float:
    """Return the seconds to wait by a Retry-After header: a number or a date (RFC 9110); 0 for anything else."""
    if text.strip().isascii() and text.strip().isdigit():
        return float(min(int(text.strip()[:9]), 1 << 20))
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def body_of(response: urllib3.BaseHTTPResponse, limit: int, where: str) -> bytes:
    """Return a small body; raise Unreachable if it is cut off, RegistryError if it exceeds `limit` bytes."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):  # it was not requested, and may unpack to any size
        raise RegistryError("Registry error", f"{where} is encoded as {encoding[:40]!r}, which was not requested.")
    try:
        raw = response.read(limit + 1)
    except HTTPError as problem:
        raise Unreachable("Download interrupted", f"{where}: {problem}.") from problem
    if len(raw) > limit:
        raise RegistryError("Response too large", f"{where} has more than {limit} bytes; a short text was expected.")
    return raw


def is_loopback(host: str) -> bool:
    """Return whether a `host:port` is this machine, without a DNS lookup."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return False


def _new_pool(proxy: str | None) -> urllib3.PoolManager:
    context = ssl.create_default_context()
    if proxy is None:
        return urllib3.PoolManager(num_pools=8, maxsize=4, ssl_context=context)
    parts = urlsplit(proxy)
    headers = None
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=login)
        proxy = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return urllib3.ProxyManager(proxy, proxy_headers=headers, num_pools=8, maxsize=4, ssl_context=context)


def _proxy_for(url: str) -> str | None:
    """Return the proxy by HTTPS_PROXY, HTTP_PROXY and NO_PROXY; none for loopback."""
    parts = urlsplit(url)
    if is_loopback(parts.netloc) or urllib.request.proxy_bypass(parts.netloc):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _cause(problem: BaseException) -> BaseException | None:
    reason = getattr(problem, "reason", None)
    return reason if isinstance(reason, BaseException) else problem


def _explain(url: str, problem: Exception) -> str:
    host = place_of(url)
    cause = _cause(problem)
    text = re.sub(r"^<[^>]*>:? ?|HTTPS?ConnectionPool\([^)]*\): ?", "", str(cause)).strip() or type(cause).__name__
    if isinstance(cause, ssl.SSLError | SSLError):
        if _NO_TLS.search(text):
            return (
                f"{host} does not use TLS. If you trust the network, allow plain http for it: "
                f"DSTREAM_INSECURE_REGISTRIES={host}"
            )
        return (
            f"The certificate of {host} is not trusted: {text}. If a private authority issued it, set SSL_CERT_FILE to "
            "the authority's certificate."
        )
    if isinstance(cause, ProxyError):
        return f"{host}: the proxy {place_of(_proxy_for(url) or '')} refused the connection: {text}"
    return f"{host}: {text}"
