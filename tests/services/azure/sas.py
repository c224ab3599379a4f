"""Which rights a token gives in a namespace: a shared access signature, or one of Microsoft Entra ID."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import urllib.parse

from tests.services.azure.model import Namespace

AUDIENCE = "https://servicebus.azure.net"
PREFIX = "SharedAccessSignature "
EVERYTHING = frozenset(("Listen", "Send", "Manage"))


def rights(namespace: Namespace, token: str) -> frozenset[str]:
    """Return the rights of a token; none for a wrong, an unknown or an old one."""
    if not token.startswith(PREFIX):
        entra = namespace.entra
        return EVERYTHING if entra is not None and entra(token, AUDIENCE) else frozenset()
    fields = dict(each.split("=", 1) for each in token.removeprefix(PREFIX).split("&"))
    rule = urllib.parse.unquote(fields.get("skn", ""))
    key = namespace.keys.get(rule)
    if key is None or int(fields.get("se") or 0) < time.time():
        return frozenset()
    signed = f"{fields.get('sr')}\n{fields.get('se')}".encode()
    wanted = base64.b64encode(hmac.new(key.encode(), signed, hashlib.sha256).digest())
    if not hmac.compare_digest(urllib.parse.unquote(fields.get("sig", "")).encode(), wanted):
        return frozenset()
    given = frozenset(namespace.rights.get(rule, ()))
    return EVERYTHING if "Manage" in given else given
