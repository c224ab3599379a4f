"""ResourceManager: creates, reads and deletes resources by Azure's REST interface, and waits until that is done.

Source: https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPMessage
from typing import Any

AUDIENCE = "https://management.azure.com"
LONGEST = 900.0
"""Seconds to wait until a resource is created or deleted."""


class Refused(Exception):
    """Azure does not do what it was asked."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code = status, code


class ResourceManager:
    """One subscription. `token` returns a bearer token; `wait` sleeps for seconds."""

    def __init__(self, address: str, token: Callable[[], str], wait: Callable[[float], None] = time.sleep) -> None:
        self.address = address.rstrip("/")
        self._token, self._wait = token, wait

    def get(self, path: str, version: str) -> dict[str, Any]:
        """Return a resource. Raises Refused."""
        return self._ask("GET", path, version)[2]

    def post(self, path: str, version: str) -> dict[str, Any]:
        """Return the answer to an action, such as listKeys. Raises Refused."""
        return self._ask("POST", path, version, {})[2]

    def put(self, path: str, version: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a resource, wait until that is done, and return it. Raises Refused."""
        status, headers, answer = self._ask("PUT", path, version, body)
        self._finish(status, headers)
        end = time.monotonic() + LONGEST
        while status != 200 or _state(answer) not in ("succeeded", "ready", "online", ""):
            answer = self.get(path, version)
            if _state(answer) in ("succeeded", "ready", "online", ""):
                break
            if _state(answer) in ("failed", "canceled") or time.monotonic() > end:
                raise Refused(0, "NotCreated", f"the state is {_state(answer)}")
            self._wait(3)
        return answer

    def delete(self, path: str, version: str) -> None:
        """Delete a resource, and wait until that is done; nothing happens where there is none. Raises Refused."""
        try:
            status, headers, _ = self._ask("DELETE", path, version)
        except Refused as answer:
            if answer.status == 404:
                return
            raise
        self._finish(status, headers)

    def _finish(self, status: int, headers: HTTPMessage | Mapping[str, str]) -> None:
        """Wait for an operation that was accepted."""
        operation, location = headers.get("Azure-AsyncOperation"), headers.get("Location")
        end = time.monotonic() + LONGEST
        while (operation or (location and status == 202)) and time.monotonic() < end:
            self._wait(float(headers.get("Retry-After") or 5))
            status, headers, answer = self._ask("GET", operation or location or "", "")
            state = str(answer.get("status") or "").lower()
            if state in ("failed", "canceled"):
                problem = answer.get("error") or {}
                raise Refused(status, str(problem.get("code")), str(problem.get("message")))
            if (operation and state == "succeeded") or (not operation and status != 202):
                return
        if time.monotonic() >= end:
            raise Refused(0, "Timeout", f"not done after {LONGEST:.0f} s")

    def _ask(
        self, method: str, path: str, version: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any, dict[str, Any]]:
        address = path if "://" in path else f"{self.address}{path}"
        if version:
            address += f"{'&' if '?' in address else '?'}api-version={version}"
        request = urllib.request.Request(address, method=method)
        request.add_header("Authorization", f"Bearer {self._token()}")
        request.add_header("Content-Type", "application/json")
        request.data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.headers, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as answer:
            raise _refused(answer) from None


def _state(resource: Mapping[str, Any]) -> str:
    properties = resource.get("properties") or {}
    return str(properties.get("provisioningState") or properties.get("state") or properties.get("status") or "").lower()


def _refused(answer: urllib.error.HTTPError) -> Refused:
    text = answer.read().decode(errors="replace")
    try:
        problem = json.loads(text).get("error") or {}
    except ValueError:
        problem = {}
    return Refused(answer.code, str(problem.get("code") or ""), str(problem.get("message") or text[:300]))
