"""Azure Key Vault and Managed HSM: keys, their versions, wrapping and unwrapping, over https at their real addresses.

    with key_vault() as vault:
        vault.environment                        # leads every client to it: as its proxy, its authority, its identity
        key = vault.add_key("shop", "state")     # https://shop.vault.azure.net/keys/state, a real RSA key
        key.rotate()
        key.newest.enabled = False
        vault.permissions.remove("unwrapKey")    # of everybody

Written from the documentation of the REST API (7.4) and from what its client library expects; never compared with the
real service. As there, a disabled version wraps and does not unwrap, and an expired one unwraps and does not wrap.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import ssl
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.services.azure.entra import AUTHORITY, TENANT, Entra
from tests.services.azure.web import Answer, Call, WebServer

_PATH = re.compile(r"/keys/(?P<name>[^/]+)(?:/(?P<version>[0-9a-f]{32}))?(?:/(?P<operation>wrapkey|unwrapkey))?")
_HOSTS = {".vault.azure.net": "https://vault.azure.net", ".managedhsm.azure.net": "https://managedhsm.azure.net"}
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@dataclass
class Version:
    """One version of a key, with its secret part."""

    kind: str
    version: str = field(default_factory=lambda: uuid.uuid4().hex)
    enabled: bool = True
    expires: int | None = None
    operations: list[str] = field(default_factory=lambda: ["wrapKey", "unwrapKey"])
    secret: Any = None

    def __post_init__(self) -> None:
        if self.kind.startswith("RSA"):
            self.secret = rsa.generate_private_key(65537, 2048)
        elif self.kind.startswith("oct"):
            self.secret = os.urandom(32)

    def wrap(self, algorithm: str, data: bytes) -> bytes:
        """Return `data`, wrapped; raise ValueError where the algorithm is not one of this key."""
        self._check(algorithm)
        if algorithm == "A256KW":
            return keywrap.aes_key_wrap(self.secret, data)
        return bytes(self.secret.public_key().encrypt(data, _OAEP))

    def unwrap(self, algorithm: str, data: bytes) -> bytes:
        """Return what was wrapped; raise ValueError or InvalidUnwrap where it was not wrapped by this key."""
        self._check(algorithm)
        if algorithm == "A256KW":
            return keywrap.aes_key_unwrap(self.secret, data)
        return bytes(self.secret.decrypt(data, _OAEP))

    def _check(self, algorithm: str) -> None:
        if algorithm != ("A256KW" if self.kind.startswith("oct") else "RSA-OAEP-256"):
            raise ValueError(f"a key of type {self.kind} does not know {algorithm}")


@dataclass
class Key:
    """A key: its versions, the newest last."""

    host: str
    name: str
    kind: str
    versions: list[Version] = field(default_factory=list)
    deleted: bool = False
    """Whether it is deleted, and could be recovered."""

    @property
    def id(self) -> str:
        """Return its identifier, without a version."""
        return f"https://{self.host}/keys/{self.name}"

    @property
    def newest(self) -> Version:
        """Return the newest version."""
        return self.versions[-1]

    def rotate(self) -> None:
        """Make a new version."""
        self.versions.append(Version(self.kind))

    def identifier(self, version: Version) -> str:
        """Return the identifier of a version."""
        return f"{self.id}/{version.version}"


class KeyVaultServer(WebServer):
    """All vaults there are."""

    def __init__(self, context: ssl.SSLContext, accepts: Callable[[str, str], bool]) -> None:
        """`accepts` tells whether a token is good for a service."""
        super().__init__(context)
        self._accepts = accepts
        self.keys: dict[tuple[str, str], Key] = {}
        self.hosts: set[str] = set()
        self.permissions = {"get", "wrapKey", "unwrapKey"}
        self.firewall = False
        """Whether nobody is let in."""
        self.challenge_resource = ""
        """What tokens are asked for, in place of what is right."""
        self.foreign = False
        """Whether no token is accepted: everybody is of another tenant."""

    def add_key(self, vault: str, name: str, kind: str = "RSA", domain: str = "vault.azure.net") -> Key:
        """Make a key, and its vault where there is none."""
        key = Key(f"{vault}.{domain}", name, kind)
        key.rotate()
        self.hosts.add(key.host)
        self.keys[key.host, name] = key
        return key

    def asked(self, operation: str) -> list[str]:
        """Return the paths of the calls that were let in: to `wrapkey`, `unwrapkey`, or `get`."""
        found = [call for call in list(self.calls) if call.headers.get("authorization")]
        if operation == "get":
            return [call.path for call in found if call.method == "GET"]
        return [call.path for call in found if call.path.endswith(f"/{operation}")]

    def stands_for(self, host: str) -> bool:
        return host in self.hosts

    def refusal(self, status: int, code: str, message: str, headers: Mapping[str, str]) -> Answer:
        outer = "Forbidden" if status == 403 else code
        form: dict[str, Any] = {"code": outer, "message": message}
        if outer != code:
            form["innererror"] = {"code": code}
        return Answer.of(status, {"error": form}, **headers)

    def answer(self, call: Call) -> Answer:
        host = call.headers.get("host", "").removesuffix(":443")
        resource = next((resource for suffix, resource in _HOSTS.items() if host.endswith(suffix)), "")
        bearer = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self.foreign or not self._accepts(bearer, resource):
            challenge = (
                f'Bearer authorization="https://{AUTHORITY}/{TENANT}", resource="{self.challenge_resource or resource}"'
            )
            answer = self.refusal(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.", {})
            return Answer(answer.status, answer.body, answer.type, {"WWW-Authenticate": challenge})
        if "api-version" not in call.query:
            return self.refusal(400, "BadParameter", "api-version must be specified", {})
        if self.firewall:
            return self.refusal(403, "ForbiddenByFirewall", "Client address is not authorized.", {})
        match = _PATH.fullmatch(call.path)
        wanted = {"GET": {None: "get"}, "POST": {"wrapkey": "wrapKey", "unwrapkey": "unwrapKey"}}
        operation = wanted.get(call.method, {}).get(match["operation"]) if match else None
        if match is None or operation is None:
            return self.refusal(405, "MethodNotAllowed", f"{call.method} {call.path}", {})
        if operation not in self.permissions:
            message = (
                "Caller is not authorized to perform action on resource.\r\nCaller: appid=1;oid=2\r\n"
                f"Action: 'Microsoft.KeyVault/vaults/keys/{operation}/action'"
            )
            return self.refusal(403, "ForbiddenByRbac", message, {})
        key = self.keys.get((host, match["name"]))
        version = None if key is None or key.deleted else _version(key, match["version"])
        if key is None or version is None:
            message = (
                f"A key with (name/id) {match['name']} was not found in this key vault. If you recently deleted this "
                "key you may be able to recover it using the correct recovery command."
            )
            return self.refusal(404, "KeyNotFound", message, {})
        if operation == "get":
            return Answer.of(200, _bundle(key, version))
        return self._wrapping(operation, key, version, call.json())

    def _wrapping(self, operation: str, key: Key, version: Version, asked: Mapping[str, Any]) -> Answer:
        if operation not in version.operations:
            return self.refusal(
                403, "KeyOperationForbidden", f"Operation {operation} is not permitted on this key.", {}
            )
        if operation == "unwrapKey" and not version.enabled:
            return self.refusal(403, "KeyDisabled", "Operation unwrapKey is not allowed on a disabled key.", {})
        if operation == "wrapKey" and version.expires is not None and version.expires <= time.time():
            return self.refusal(403, "KeyExpired", "Operation wrapKey is not allowed on an expired key.", {})
        act = version.wrap if operation == "wrapKey" else version.unwrap
        try:
            made = act(str(asked["alg"]), _decode(str(asked["value"])))
        except (KeyError, ValueError, keywrap.InvalidUnwrap):
            return self.refusal(400, "BadParameter", "The parameter is incorrect.", {})
        return Answer.of(200, {"kid": key.identifier(version), "value": _encode(made)})


@dataclass(frozen=True)
class KeyVault:
    """What runs: the vaults, and what gives this machine its identity."""

    server: KeyVaultServer
    entra: Entra
    certificate: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with which clients find the vaults, trust them, and have an identity."""
        proxies = {"HTTPS_PROXY": f"http://127.0.0.1:{self.server.port}", "NO_PROXY": "127.0.0.1,localhost"}
        return {
            **self.entra.managed,
            **proxies,
            **{name.lower(): value for name, value in proxies.items()},  # They win over those in capitals.
            "REQUESTS_CA_BUNDLE": str(self.certificate),
        }


@contextlib.contextmanager
def key_vault() -> Iterator[KeyVault]:
    """Run the vaults and an identity for as long as the context lasts."""
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(f"*{suffix}" for suffix in _HOSTS)).configure_cert(context)
    with tempfile.TemporaryDirectory(prefix="dskv-") as folder:
        certificate = Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(str(certificate))
        with Entra() as entra, KeyVaultServer(context, entra.accepts) as server:
            yield KeyVault(server, entra, certificate)


def _version(key: Key, wanted: str | None) -> Version | None:
    if wanted is None:
        return key.newest
    return next((each for each in key.versions if each.version == wanted), None)


def _bundle(key: Key, version: Version) -> dict[str, Any]:
    form: dict[str, Any] = {"kid": key.identifier(version), "kty": version.kind, "key_ops": version.operations}
    if version.kind.startswith("RSA"):
        public = version.secret.public_key().public_numbers()
        form |= {"n": _encode(public.n.to_bytes(256, "big")), "e": _encode(public.e.to_bytes(3, "big"))}
    attributes: dict[str, Any] = {"enabled": version.enabled, "created": 1, "updated": 1}
    if version.expires is not None:
        attributes["exp"] = version.expires
    return {"key": form, "attributes": attributes}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
