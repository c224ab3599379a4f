"""Entra: the stand-in of Microsoft Entra ID: tokens for a service principal, and for the managed identity of a machine.

A service principal's client talks to login.microsoftonline.com: this server is what HTTPS_PROXY has to name, and leads
that name, and no other, here. The managed identity is that of App Service (IDENTITY_ENDPOINT, IDENTITY_HEADER). A
service asks `accepts` whether a token is one of these, for it, and still good.

    with Entra() as entra:        # without a certificate: for managed identities alone
        entra.managed             # with these variables, azure-identity finds it
        entra.given               # what tokens were asked for
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import time
import urllib.parse
from io import BufferedReader
from socketserver import StreamRequestHandler
from typing import Any

from tests.services.azure.web import Answer, Call, WebServer

AUTHORITY = "login.microsoftonline.com"
TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
SECRET = "dstream~secret"


class Entra(WebServer):
    """Gives tokens to one service principal and one managed identity."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context)
        self._tls = context
        self._key = secrets.token_bytes(32)
        self.header = secrets.token_hex(16)
        """What proves that a request for a managed identity comes from this machine."""
        self.given: list[tuple[str, str]] = []
        """How each token was asked for ("managed" or "principal"), and for which service."""
        self.lifetime = 3600.0
        self.revoked = False
        """Whether services take no token of here any more."""

    @property
    def managed(self) -> dict[str, str]:
        """Return the variables of a machine with a managed identity."""
        return {"IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.port}/identity", "IDENTITY_HEADER": self.header}

    @property
    def principal(self) -> dict[str, str]:
        """Return the variables that name a service principal, and the way to here."""
        proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{self.port}", "NO_PROXY": "127.0.0.1,localhost"}
        return {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET, **proxy}

    def accepts(self, token: str, audience: str) -> bool:
        """Tell whether a token was given here, for the service `audience`, and has not expired."""
        try:
            head, payload, signature = token.split(".")
            claims = json.loads(_unpacked(payload))
            signed = hmac.compare_digest(_unpacked(signature), self._signature(f"{head}.{payload}"))
        except ValueError:
            return False
        return not self.revoked and signed and claims["aud"].rstrip("/") == audience and claims["exp"] > time.time()

    def answer(self, call: Call) -> Answer:
        if call.path == "/identity":
            if call.headers.get("x-identity-header") != self.header:
                return self.refusal(401, "unauthorized", "The header is not that of this machine.", {})
            return Answer.of(200, self._token("managed", call.query["resource"], managed=True))
        if call.path == "/common/discovery/instance":
            names = {"preferred_network": AUTHORITY, "preferred_cache": AUTHORITY, "aliases": [AUTHORITY]}
            where = f"https://{AUTHORITY}/{TENANT}/v2.0/.well-known/openid-configuration"
            return Answer.of(200, {"tenant_discovery_endpoint": where, "api-version": "1.1", "metadata": [names]})
        if call.path.endswith("/.well-known/openid-configuration"):
            base = f"https://{AUTHORITY}/{TENANT}"
            ends = {name: f"{base}/oauth2/v2.0/{name.partition('_')[0]}" for name in _ENDPOINTS}
            return Answer.of(200, {"issuer": f"{base}/v2.0", "tenant_region_scope": "EU", **ends})
        if call.path == f"/{TENANT}/oauth2/v2.0/token" and call.method == "POST":
            asked = dict(urllib.parse.parse_qsl(call.body.decode()))
            if (asked.get("client_id"), asked.get("client_secret")) != (CLIENT, SECRET):
                return self.refusal(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.", {})
            return Answer.of(200, self._token("principal", asked["scope"].split()[0].removesuffix("/.default")))
        return self.refusal(404, "not_found", f"nothing is served at {call.path}", {})

    def refusal(self, status: int, code: str, message: str, headers: Any) -> Answer:
        return Answer.of(status, {"error": code, "error_description": message}, **headers)

    def takes_over(self, handler: StreamRequestHandler) -> bool:
        """Be the proxy: CONNECT leads to this same server, over TLS."""
        reader = handler.rfile
        assert isinstance(reader, BufferedReader)
        if reader.peek(7)[:7] != b"CONNECT":
            return False
        where = reader.readline().split()[1].decode()
        while reader.readline().strip():
            pass
        if self._tls is None or where != f"{AUTHORITY}:443":
            handler.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            handler.wfile.flush()
            return True
        handler.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        handler.wfile.flush()
        handler.request = self._tls.wrap_socket(handler.request, server_side=True)
        handler.rfile = handler.request.makefile("rb")
        handler.wfile = handler.request.makefile("wb")
        return False

    def _token(self, how: str, service: str, *, managed: bool = False) -> dict[str, Any]:
        now = int(time.time())
        until = now + int(self.lifetime)
        claims = {"aud": service, "iss": f"https://sts.windows.net/{TENANT}/", "iat": now, "nbf": now, "exp": until}
        head = _packed(b'{"alg":"HS256","typ":"JWT"}')
        payload = _packed(json.dumps(claims).encode())
        token = f"{head}.{payload}.{_packed(self._signature(f'{head}.{payload}'))}"
        self.given.append((how, service.rstrip("/")))
        if managed:
            return {"access_token": token, "expires_on": str(until), "resource": service, "token_type": "Bearer"}
        return {"access_token": token, "expires_in": int(self.lifetime), "token_type": "Bearer"}

    def _signature(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()


_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "device_authorization_endpoint")


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
