"""Login: Basic and Bearer authentication (https://distribution.github.io/distribution/spec/auth/token/)."""

from __future__ import annotations

import re
import threading
from urllib.parse import urlencode

import urllib3

from dstream.bounded_json import InvalidJson, parse_object
from dstream.registry.errors import Denied, RegistryError
from dstream.registry.oci.credentials import Credentials, find_credentials
from dstream.registry.oci.origins import place_of
from dstream.registry.oci.transport import Transport, body_of

_PARAMETER = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_MAX_ANSWER = 1 << 20
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Login:
    """The Authorization headers for one registry, created on its first challenge and reused for the same scope."""

    def __init__(self, host: str, transport: Transport) -> None:
        """Authenticate to `host` with the result of `find_credentials`, after its first challenge."""
        self._host, self._transport = host, transport
        self._lock = threading.Lock()
        self._headers: dict[str, str] = {}
        self._credentials: Credentials | None = None
        self._searched = False

    def header(self, scope: str) -> str | None:
        """Return the last accepted header for a scope."""
        with self._lock:
            return self._headers.get(scope) or self._headers.get("*")

    def answer(self, response: urllib3.BaseHTTPResponse, scope: str) -> str:
        """Return the header for a request that got 401; raise Denied if there are no credentials."""
        for challenge in response.headers.getlist("WWW-Authenticate"):
            kind, _, rest = challenge.strip().partition(" ")
            parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
            if kind.lower() == "bearer":
                header = f"Bearer {self._token(parameters, scope)}"
                with self._lock:
                    self._headers[scope] = header
                return header
            if kind.lower() == "basic":
                credentials = self._known()
                if credentials is None or not credentials.username:
                    raise self.denied(scope)
                with self._lock:
                    self._headers["*"] = credentials.basic
                return credentials.basic
        raise self.denied(scope)

    def forget(self, scope: str) -> None:
        """Drop a rejected header, such as an expired token."""
        with self._lock:
            self._headers.pop(scope, None)

    def denied(self, scope: str) -> Denied:
        """Return the error for a denied request."""
        repository = scope.split(":")[1] if scope.count(":") >= 2 else ""
        what = f"{self._host}/{repository}".rstrip("/")
        known = self._known()
        if known is None:
            how = f"No credentials were found. Log in with: docker login {self._host}"
        else:
            who = f"as {known.username!r}" if known.username else "with a token"
            how = f"The login {who} is not sufficient, or has expired. Log in with: docker login {self._host}"
        return Denied("Registry access denied", f"{what} cannot be {_doing(scope)}, or does not exist. {how}")

    def _known(self) -> Credentials | None:
        if not self._searched:
            url = f"{self._transport.scheme(self._host)}://{self._host}/"
            self._credentials = find_credentials(self._host) if self._transport.may_see_secrets(url) else None
            self._searched = True
        return self._credentials

    def _token(self, parameters: dict[str, str], scope: str) -> str:
        realm = parameters.get("realm", "")
        home = f"{self._transport.scheme(self._host)}://{self._host}"
        downgrade = home.startswith("https:") and not realm.lower().startswith("https:")
        if downgrade or not self._transport.may_see_secrets(realm):
            detail = f"{self._host} requests a login at {realm or 'no address'}, to which credentials are not sent."
            raise RegistryError("Untrusted token endpoint", detail)
        query = {"service": parameters.get("service", ""), "scope": scope}
        credentials = self._known()
        headers = {"Accept": "application/json"}
        body: bytes | None = None
        if credentials is not None and credentials.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token, "client_id": "dstream"}
            method, url = "POST", realm
            body = urlencode({**query, **form}).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            method, url = "GET", f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
            if credentials is not None:
                headers["Authorization"] = credentials.basic
        with self._transport.send(method, url, headers, body) as response:
            text = body_of(response, _MAX_ANSWER, realm)
            if response.status in (401, 403):
                raise self.denied(scope)
            if response.status != 200:
                detail = f"{place_of(realm)} returned status {response.status} for a token of {self._host}."
                raise RegistryError("Missing registry token", detail)
        try:
            answer = parse_object(text, limit=_MAX_ANSWER)
        except InvalidJson as problem:
            detail = f"{place_of(realm)} returned no token: {problem}."
            raise RegistryError("Missing registry token", detail) from problem
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            detail = f"{place_of(realm)} returned no token, or one with characters that no header may have."
            raise RegistryError("Missing registry token", detail)
        return token


def _doing(scope: str) -> str:
    return "written to" if "push" in scope.rpartition(":")[2] else "read"
