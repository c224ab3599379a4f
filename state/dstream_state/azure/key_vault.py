"""Keys of an encrypted state from Azure Key Vault: random ones, wrapped by a key that never leaves the vault.

A form names the version of the vault's key that wrapped it, so that it can be unwrapped after the vault's key was
rotated. Only the configuration determines the vault: a document cannot lead to another one.

The official client `azure-keyvault-keys` signs in (and refuses a vault that asks for another domain's token); its
`CryptographyClient` is not used, since it asks for the key before each unwrapping, and wraps with RSA keys on this
machine, past what the vault forbids. The client is imported when it is first needed.

Sources: https://learn.microsoft.com/rest/api/keyvault/keys and
https://learn.microsoft.com/azure/key-vault/keys/about-keys-details (what a disabled or expired key may still do).
"""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from dstream_state.azure.identity import IDENTITY_ARGUMENTS, LateCredential, with_environment
from dstream_state.azure.key_vault_errors import refusal, unusable
from dstream_state.azure.retries import (
    CONNECT_SECONDS,
    RETRY_SECONDS,
    TRANSIENT,
    UNREACHED_SECONDS,
    Pauses,
    retry_after,
)
from dstream_state.codec import Json
from dstream_state.errors import KeyUnavailable, SettingsError, StateUnavailable, WrongKey

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.rest import HttpResponse
    from azure.keyvault.keys import KeyClient

API_VERSION = "7.4"
"""Old enough for every cloud; older versions have everything that is needed."""
READ_SECONDS = 30.0
KIND = "azure_key_vault"
KEY_BYTES = 32
SAME_KEY = timedelta(days=1)
"""How long is written under one key where the configuration pins no version: then the vault's newest one is used."""

ALGORITHMS: Mapping[str, str] = {
    "RSA": "RSA-OAEP-256",
    "RSA-HSM": "RSA-OAEP-256",
    "oct": "A256KW",
    "oct-HSM": "A256KW",
}
"""How a key wraps, by its type."""

_KEY_ID = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]+(?::\d+)?)/keys/(?P<name>[A-Za-z0-9-]{1,127})(?:/(?P<version>[A-Za-z0-9]+))?/?"
)


class VaultKey(Struct, frozen=True):
    """A key in a vault, or one version of it."""

    vault: str
    """The address of the vault, without a slash at the end."""
    name: str
    version: str = ""
    """Empty: the newest one."""

    @classmethod
    def parse(cls, text: str) -> VaultKey | None:
        """Return what an identifier such as https://VAULT.vault.azure.net/keys/NAME/VERSION names; None if nothing."""
        match = _KEY_ID.fullmatch(text)
        return cls(f"https://{match['host'].lower()}", match["name"], match["version"] or "") if match else None

    @property
    def path(self) -> str:
        """The path of its address."""
        return f"/keys/{self.name}{'/' if self.version else ''}{self.version}"

    def __str__(self) -> str:
        """Return its identifier."""
        return self.vault + self.path

    def covers(self, other: VaultKey) -> bool:
        """Return whether `other` is a version of the same key; a vault takes upper and lower case for the same."""
        return (self.vault, self.name.lower()) == (other.vault, other.name.lower())


class AzureKeyVault:
    """A `KeySource`: random keys, wrapped by a key of a vault. Nothing is sent, or imported, before it is needed."""

    def __init__(
        self,
        key: VaultKey,
        credential: Callable[[], TokenCredential],
        *,
        retry_seconds: float = RETRY_SECONDS,
        first_pause: float = 0.5,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Use `key`, as whom `credential` signs in.

        Requests are repeated for `retry_seconds`, after `first_pause` seconds, then twice as many, and so on; an answer
        is waited for `read_seconds`.
        """
        self._vault_key, self._credential = key, credential
        self._retry_seconds, self._first_pause, self._read_seconds = retry_seconds, first_pause, read_seconds
        self._client: KeyClient | None = None
        self._keys: dict[tuple[str, str], bytes] = {}
        self._lock = threading.RLock()  # The client is opened while it is held.

    def make(self) -> tuple[Json, bytes]:
        """See `KeySource`. Asks the vault to unwrap the key once: what cannot be read again is not written."""
        bundle = self._ask("get", "GET", self._vault_key)
        version, algorithm = self._usable(bundle)
        key = os.urandom(KEY_BYTES)
        answer = self._ask("wrapKey", "POST", version, {"alg": algorithm, "value": _encode(key)})
        form = {
            "kind": KIND,
            "vault_key": str(version),
            "algorithm": algorithm,
            "wrapped": str(answer["value"]),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if self._unwrap(version, algorithm, form["wrapped"]) != key:
            raise KeyUnavailable(f"{version} does not unwrap what it wrapped. Nothing was written.")
        return form, key

    def again(self, form: Json) -> bytes | None:
        """See `KeySource`."""
        if form.get("kind") != KIND:
            return None
        version = VaultKey.parse(str(form["vault_key"]))
        if version is None or not self._vault_key.covers(version):
            return None
        if form["algorithm"] not in ALGORITHMS.values():
            raise WrongKey(
                f"The key was wrapped with the algorithm {form['algorithm']!r}, which dstream does not support."
            )
        return self._unwrap(version, form["algorithm"], str(form["wrapped"]))

    def fresh(self, form: Json) -> bool:
        """See `KeySource`. A pinned version is always used, otherwise the newest is looked for once a day."""
        if self._vault_key.version:
            return str(form["vault_key"]).endswith(f"/{self._vault_key.version}")
        age = datetime.now(UTC) - datetime.fromisoformat(form["made"])
        return abs(age) < SAME_KEY

    def _unwrap(self, version: VaultKey, algorithm: str, wrapped: str) -> bytes:
        with self._lock:  # Held during the request to the vault, so that there is only one.
            known = (str(version), wrapped)
            if known not in self._keys:
                answer = self._ask("unwrapKey", "POST", version, {"alg": algorithm, "value": wrapped})
                key = _decode(str(answer["value"]))
                if len(key) != KEY_BYTES:
                    raise WrongKey(f"{version} did not unwrap to a key of {8 * KEY_BYTES} bits.")
                self._keys[known] = key
            return self._keys[known]

    def _usable(self, bundle: Json) -> tuple[VaultKey, str]:
        """Return the version that a key's description is about, and how it wraps; raise where it will not do."""
        found = bundle["key"]
        version = VaultKey.parse(str(found["kid"]))
        if version is None or not version.version or not self._vault_key.covers(version):
            raise KeyUnavailable(
                f"The vault identifies {self._vault_key} as {found['kid']}. Set key_id to that identifier, without the "
                "version. Nothing was written."
            )
        attributes = bundle.get("attributes", {})
        why = unusable(str(found["kty"]), found.get("key_ops") or (), attributes, ALGORITHMS, datetime.now(UTC))
        if why:
            raise KeyUnavailable(f"{version} {why} Nothing was written.")
        return version, ALGORITHMS[found["kty"]]

    def _ask(self, what: str, method: str, key: VaultKey, body: Json = None) -> Mapping[str, Json]:
        """Send a request about a key until the answer is not a transient error.

        Return the members of the answer; raise KeyUnavailable for a refusal, WrongKey if what is to be unwrapped is not
        of this key.
        """
        from azure.core.exceptions import AzureError, ServiceRequestError
        from azure.core.rest import HttpRequest

        path = key.path if method == "GET" else f"{key.path}/{what.lower()}"
        for_answers = Pauses(self._retry_seconds, self._first_pause)
        unreached = Pauses(min(self._retry_seconds, UNREACHED_SECONDS), self._first_pause)
        while True:
            wait, pauses = 0.0, for_answers
            try:
                response = self._opened().send_request(HttpRequest(method, path, json=body))
                if response.status_code not in TRANSIENT:
                    return _members(response, what, key)
                trouble = f"returned {response.status_code} {response.reason}"
                wait = retry_after(response.headers)
            except AzureError as error:
                trouble = f"does not answer ({error})"
                if isinstance(error, ServiceRequestError):  # There is no connection, maybe no such vault.
                    pauses = unreached
            except StateUnavailable as error:  # Of the credential.
                raise KeyUnavailable(error.detail) from error
            except ValueError as error:  # What the client raises for a challenge that is not of the vault's domain.
                raise KeyUnavailable(
                    f"{key.vault} requests a token for another domain, which was not sent ({error}). Check key_id: "
                    "it must be the address of a key in a vault."
                ) from error
            if not pauses.wait(wait):
                raise KeyUnavailable(
                    f"{key.vault} {trouble}. Check the name of the vault and the network, then run the operation "
                    "again. Nothing was written."
                )

    def _opened(self) -> KeyClient:
        with self._lock:
            if self._client is None:
                try:
                    from azure.keyvault.keys import KeyClient
                except ImportError as error:
                    raise SettingsError(
                        "azure_key_vault in `encryption` needs the package azure-keyvault-keys: "
                        "pip install 'dstream-cli[keyvault]'."
                    ) from error
                self._client = KeyClient(
                    self._vault_key.vault,
                    self._credential(),
                    api_version=API_VERSION,
                    user_agent="dstream",
                    retry_total=0,
                    connection_timeout=min(self._read_seconds, CONNECT_SECONDS),
                    read_timeout=self._read_seconds,
                )
            return self._client


def open_key(settings: Mapping[str, Json], environment: Mapping[str, str] = os.environ) -> AzureKeyVault:
    """Return the key that an `azure_key_vault` block describes; nothing is sent. Raises SettingsError."""
    known = ("key_id", *IDENTITY_ARGUMENTS)
    for name, value in settings.items():
        if name not in known:
            raise SettingsError(f"`azure_key_vault` has no argument {name!r}. Its arguments are: {', '.join(known)}.")
        if value is not None and not isinstance(value, str):
            raise SettingsError(f"{name} of `azure_key_vault` must be a string, not {type(value).__name__}.")
    key_id = settings.get("key_id") or ""
    key = VaultKey.parse(key_id)
    if key is None:
        raise SettingsError(
            f"key_id = {key_id!r}: expected https://VAULT.vault.azure.net/keys/NAME, optionally followed by /VERSION. "
            "To show it, run: az keyvault key show --vault-name VAULT --name NAME --query key.kid"
        )
    texts = {name: str(value) for name, value in settings.items() if value is not None}
    found = with_environment(texts, IDENTITY_ARGUMENTS, environment)
    return AzureKeyVault(key, lambda: LateCredential(found))


def _members(response: HttpResponse, what: str, key: VaultKey) -> Mapping[str, Json]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.status_code == 200 and isinstance(answer, dict) and ("key" if what == "get" else "value") in answer:
        return answer
    raise refusal(what, key.vault, str(key), response.status_code, answer if isinstance(answer, dict) else {})


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
