"""Requests to the REST interface of a forge: pages, rate limits and refusals.

A redirect is an error: the token would go with it. A request that changes something is repeated only when the forge
says that it did not carry it out (a rate limit), so that no comment appears twice.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from dstream import __version__
from dstream.delivery.errors import DeliveryError

_TRIES = 4
_LONGEST_WAIT = 120.0
_LONGEST_ANSWER = 32 << 20
_MOST_PAGES = 200
_NEXT = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?next"?')


class Http:
    """The interface below one address, with one token."""

    def __init__(self, base: str, headers: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the address of the interface and the headers of each request, which hold the token."""
        address = urlsplit(base)
        if address.scheme != "https" and not (
            address.scheme == "http" and address.hostname in ("127.0.0.1", "::1", "localhost")
        ):
            raise DeliveryError(f"{base}: the address of the forge has to be https, as a token is sent to it.")
        self._base = base.rstrip("/")
        self._origin = address[:2]
        self._headers = {"User-Agent": f"dstream/{__version__}", **headers}
        self._sleep = sleep
        self._pool = _pool(base)

    def pages(self, path: str) -> Iterator[Any]:
        """Yield the entries of a list, page by page, as the Link header says."""
        url: str | None = self._base + path
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            response = self._send("GET", url, None)
            yield from _parsed(response, url)
            found = _NEXT.search(response.headers.get("Link", ""))
            url = found[1] if found else None
            if url is not None and urlsplit(url)[:2] != self._origin:
                raise DeliveryError(f"{self._base}: the next page is on another host: {url}")
        raise DeliveryError(f"{self._base}{path}: more than {_MOST_PAGES} pages")

    def get(self, path: str) -> Any:
        """Return what is at a path, or None if the token may not read it."""
        response = self._send("GET", self._base + path, None, accepted=(401, 403, 404))
        return _parsed(response, path) if response.status < 300 else None

    def change(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        """Create or change something, and return it."""
        return _parsed(self._send(method, self._base + path, json.dumps(body).encode()), path)

    def _send(
        self, method: str, url: str, body: bytes | None, accepted: tuple[int, ...] = ()
    ) -> urllib3.BaseHTTPResponse:
        wait = 1.0
        for tried in range(1, _TRIES + 1):
            response = self._once(method, url, body)
            if response.status < 300:
                return response
            pause = _pause(response)
            passing = pause is not None or (response.status >= 500 and method == "GET")
            if not passing and response.status in accepted:
                return response
            if not passing or tried == _TRIES or (pause or 0.0) > _LONGEST_WAIT:
                raise DeliveryError(_refusal(method, url, response, pause))
            self._sleep(max(wait, pause or 0.0))
            wait *= 2
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, url: str, body: bytes | None) -> urllib3.BaseHTTPResponse:
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        try:
            response = self._pool.request(
                method, url, body=body, headers=headers, redirect=False, retries=False, timeout=30, preload_content=True
            )
        except (HTTPError, OSError) as problem:
            raise DeliveryError(f"{method} {url}: no answer: {problem}") from problem
        if len(response.data) > _LONGEST_ANSWER:
            raise DeliveryError(f"{method} {url}: the answer is too long")
        return response


def _pool(base: str) -> urllib3.PoolManager:
    from urllib.request import getproxies, proxy_bypass

    address = urlsplit(base)
    proxy = None if proxy_bypass(address.netloc) else getproxies().get(address.scheme)
    return urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()


def _pause(response: urllib3.BaseHTTPResponse) -> float | None:
    """Return the seconds to wait if this is a rate limit, otherwise None.

    GitHub answers 403 or 429; with Retry-After for a secondary limit, or x-ratelimit-remaining: 0 and the moment of the
    reset; a secondary limit without either asks for a minute.
    See docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api.
    """
    if response.status not in (403, 429):
        return None
    after = response.headers.get("Retry-After", "")
    if after.isascii() and after.isdigit():
        return float(after[:9])
    if response.headers.get("x-ratelimit-remaining") == "0":
        reset = response.headers.get("x-ratelimit-reset", "")
        return max(0.0, float(reset[:12]) - time.time()) + 1 if reset.isascii() and reset.isdigit() else 60.0
    return 60.0 if response.status == 429 or b"secondary rate limit" in response.data else None


def _refusal(method: str, url: str, response: urllib3.BaseHTTPResponse, pause: float | None) -> str:
    message = response.data[:2000].decode("utf-8", "replace")
    try:
        form = json.loads(message)
        message = str(form.get("message") or form.get("error") or message) if isinstance(form, dict) else message
    except ValueError:
        pass
    hint = "" if pause is None else f" (rate limit; again in {pause:.0f} s)"
    if 300 <= response.status < 400:
        hint = " (a redirect is not followed, as the token would be sent there)"
    return f"{method} {url}: status {response.status}: {' '.join(message.split())[:300]}{hint}"


def _parsed(response: urllib3.BaseHTTPResponse, where: str) -> Any:
    try:
        return json.loads(response.data)
    except ValueError as problem:
        raise DeliveryError(f"{where}: the answer is not JSON") from problem
