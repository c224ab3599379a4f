"""Encryption of state: AES-256-GCM under keys that come from elsewhere: a passphrase, or Azure Key Vault.

A sealed form is `{"key":{...},"nonce":...,"data":...}`: `key` identifies the key and how to obtain it (it is never the
key itself), which distinguishes a wrong passphrase from damage. Rotation: the new source first, earlier ones as
fallbacks; everything is written under the first, and read under whichever fits.

Source: NIST SP 800-38D (GCM, 96-bit random nonces).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
from collections.abc import Sequence
from typing import Protocol

from dstream_state.codec import Json
from dstream_state.errors import WrongKey


class KeySource(Protocol):
    """Where keys come from: `passphrase.Passphrase`, or `azure_key_vault.AzureKeyVault`. Thread-safe.

    Keys are asked for with every block of a journal: a source keeps what was dear to get, in memory alone.
    """

    def make(self) -> tuple[Json, bytes]:
        """Return how to get the key again (JSON, without the key), and a new key of 32 bytes.

        Raise KeyUnavailable.
        """

    def again(self, form: Json) -> bytes | None:
        """Return the key that `form` describes; None if it is not of this source. Raise WrongKey, KeyUnavailable."""

    def fresh(self, form: Json) -> bool:
        """Return whether more may be written under the key that `form` describes, which is of this source."""


class Encryption:
    """Seals under the first source's key, opens under any. It is a `crypt.Sealer`. Thread-safe."""

    def __init__(self, sources: Sequence[KeySource], *, reads_unencrypted: bool = False) -> None:
        """Take the sources, the current one first; `reads_unencrypted` accepts content that is not encrypted."""
        self.reads_unencrypted = reads_unencrypted
        self._sources = tuple(sources)
        self._current: tuple[Json, bytes] | None = None
        self._lock = threading.Lock()

    def seal(self, data: bytes, context: bytes) -> Json:
        """See `crypt.Sealer`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        with self._lock:
            if self._current is None:
                form, key = self._sources[0].make()
                self._current = {**form, "id": _key_id(key)}, key
            form, key = self._current
        nonce = os.urandom(12)
        return {"key": form, "nonce": _text(nonce), "data": _text(AESGCM(key).encrypt(nonce, data, context))}

    def open(self, form: Json, context: bytes) -> bytes:
        """See `crypt.Sealer`. Raises WrongKey, also for what was changed or moved since it was sealed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            key = self._find(form["key"])
            nonce, data = base64.b64decode(form["nonce"]), base64.b64decode(form["data"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WrongKey(f"The encrypted form is damaged ({type(error).__name__}: {error}).") from error
        if key is None:
            raise WrongKey(_no_key(form["key"]))
        try:
            return AESGCM(key).decrypt(nonce, data, context)
        except InvalidTag:
            raise WrongKey("The content was modified or moved after it was encrypted. Nothing was written.") from None

    def _find(self, form: Json) -> bytes | None:
        for number, source in enumerate(self._sources):
            key = source.again(form)
            if key is not None and hmac.compare_digest(_key_id(key), str(form.get("id"))):
                if number == 0 and source.fresh(form):
                    with self._lock:
                        if self._current is None:
                            self._current = form, key  # One key serves reading and writing.
                return key
        return None


def _no_key(form: Json) -> str:
    if form.get("kind") == "scrypt":
        return (
            "It was encrypted with a passphrase that is not in `encryption`. If the passphrase has changed, add the "
            "earlier one to fallback_passphrases. Nothing was written."
        )
    if form.get("kind") == "azure_key_vault":
        return (
            f"It was encrypted with the key {form.get('vault_key')} of Azure Key Vault, which is not in `encryption`. "
            "If the key was replaced, add the earlier one as fallback_azure_key_vault { key_id = ... }. "
            "Nothing was written."
        )
    kind = form.get("kind")
    return f"Its key is of the kind {kind!r}, which this version of dstream does not support. Nothing was written."


def _key_id(key: bytes) -> str:
    return hmac.new(key, b"dstream key id", hashlib.sha256).hexdigest()[:16]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
