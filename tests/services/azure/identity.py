"""The identity endpoint of a machine in Azure (App Service, Container Apps): tokens for who runs there.

with IdentityServer() as identity:
    identity.environment      # with these variables, azure-identity finds it
    identity.resources        # what tokens were asked for
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from tests.services.azure.web import Answer, Call, WebServer

HEADER = "of this machine"


class IdentityServer(WebServer):
    """Gives a token for every resource."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables by which it is found."""
        return {"IDENTITY_ENDPOINT": f"{self.url}/token", "IDENTITY_HEADER": HEADER}

    @property
    def resources(self) -> list[str]:
        """Return the resources of the tokens that were asked for."""
        return [call.query["resource"] for call in list(self.calls)]

    def answer(self, call: Call) -> Answer:
        if call.headers.get("x-identity-header") != HEADER:
            return self.refusal(401, "Unauthorized", "the header X-IDENTITY-HEADER is missing or wrong", {})
        resource = call.query["resource"]
        expires = str(int(time.time()) + 3600)
        form = {"access_token": token(resource), "expires_on": expires, "resource": resource, "token_type": "Bearer"}
        return Answer.of(200, form)

    def refusal(self, status: int, code: str, message: str, headers: Mapping[str, str]) -> Answer:
        return Answer.of(status, {"statusCode": status, "code": code, "message": message}, **headers)


def token(resource: str) -> str:
    """Return a token as Microsoft Entra ID gives them (RFC 7519), signed by nobody whom anybody knows."""
    now = int(time.time())
    issuer = "https://sts.windows.net/00000000-0000-0000-0000-000000000001/"
    claims = {"aud": resource, "iss": issuer, "iat": now - 5, "nbf": now - 5, "exp": now + 3600}
    parts = [_part({"alg": "HS256", "typ": "JWT"}), _part(claims)]
    digest = hmac.new(b"nobody", ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()])


def claims_of(text: str) -> dict[str, Any]:
    """Return what a token claims; empty if it is none."""
    parts = text.split(".")
    if len(parts) != 3:
        return {}
    return dict(json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))))


def _part(form: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(form).encode()).rstrip(b"=").decode()
