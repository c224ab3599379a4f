"""Encryption of state: AES-256-GCM under a key made from a passphrase, or under keys that are given elsewhere.

A sealed form is `{"key":{...},"nonce":...,"data":...}`: `key` says how the key is made (never the key), and
which one it is, so that a wrong passphrase is told from damage. Rotation: the new key first, earlier ones as
fallbacks; everything is written under the first, and read under whichever fits.

Sources: NIST SP 800-38D (GCM, 96-bit random nonces), RFC 7914 (scrypt), OWASP Password Storage Cheat Sheet
(its costs).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from .codec import Json
from .errors import SettingsError, WrongKey

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1
MOST_MEMORY = 1 << 30
"""A document that asks for more memory than this is refused: it was not written by this program."""

SHORTEST_PASSPHRASE = 16


class KeySource(Protocol):
    """Where keys come from: `Passphrase`, or a key vault that wraps a random one."""

    def make(self) -> tuple[Json, bytes]:
        """Return how to make the key again (JSON, without the key), and a key of 32 bytes."""

    def again(self, form: Json) -> bytes | None:
        """Return the key that `form` describes; None if it is not of this source's kind."""


class Passphrase:
    """Keys from a passphrase by scrypt; made once per salt, since it takes a third of a second on purpose."""

    def __init__(self, passphrase: str) -> None:
        """Take the passphrase; raises SettingsError if it is too short to be one."""
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise SettingsError(
                f"the passphrase of `encryption` has {len(passphrase)} characters; use at least {SHORTEST_PASSPHRASE}."
            )
        self._passphrase = passphrase.encode()
        self._keys: dict[tuple[bytes, int, int, int], bytes] = {}
        self._lock = threading.Lock()

    def make(self) -> tuple[Json, bytes]:
        """See `KeySource`."""
        salt = os.urandom(16)
        form = {"kind": "scrypt", "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P, "salt": _text(salt)}
        return form, self._key(salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)

    def again(self, form: Json) -> bytes | None:
        """See `KeySource`."""
        if form.get("kind") != "scrypt":
            return None
        n, r, p = int(form["n"]), int(form["r"]), int(form["p"])
        if n < 2**14 or n & (n - 1) or not 1 <= p <= 16 or r < 1 or 128 * n * r > MOST_MEMORY:
            raise WrongKey(f"its scrypt costs (n={n}, r={r}, p={p}) are outside of what dstream writes.")
        return self._key(base64.b64decode(form["salt"]), n, r, p)

    def _key(self, salt: bytes, n: int, r: int, p: int) -> bytes:
        with self._lock:
            if (key := self._keys.get((salt, n, r, p))) is None:
                key = hashlib.scrypt(self._passphrase, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=32)
                self._keys[salt, n, r, p] = key
            return key


class Encryption:
    """Seals under the first source's key, opens under any. It is a `crypt.Sealer`. Thread-safe."""

    def __init__(self, sources: Sequence[KeySource], *, enforced: bool = False) -> None:
        """Take the sources, the current one first; `enforced` refuses to read what is in clear."""
        self.enforced = enforced
        self._sources = tuple(sources)
        self._current: tuple[Json, bytes] | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Json]) -> Encryption:
        """Read an `encryption` block.

        Passphrase (text), fallback_passphrases (list of text), enforced (bool).
        """
        known = ("passphrase", "fallback_passphrases", "enforced")
        if unknown := sorted(settings.keys() - set(known)):
            raise SettingsError(f"`encryption` has no argument {unknown[0]!r}; it has: {', '.join(known)}.")
        if not settings.get("passphrase"):
            raise SettingsError(
                '`encryption` needs a passphrase, such as passphrase = env("DSTREAM_STATE_PASSPHRASE").'
            )
        phrases = [settings["passphrase"], *settings.get("fallback_passphrases", ())]
        return cls([Passphrase(phrase) for phrase in phrases], enforced=bool(settings.get("enforced", False)))

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
            raise WrongKey(f"its encrypted form is damaged ({type(error).__name__}: {error}).") from error
        if key is None:
            raise WrongKey(
                "none of the passphrases in `encryption` is the one that it was written with. If the passphrase was "
                "changed, name the earlier one in fallback_passphrases. Nothing was written."
            )
        try:
            return AESGCM(key).decrypt(nonce, data, context)
        except InvalidTag:
            raise WrongKey(
                "it was changed, or put in another place, after it was encrypted. Nothing was written."
            ) from None

    def _find(self, form: Json) -> bytes | None:
        for number, source in enumerate(self._sources):
            key = source.again(form)
            if key is not None and hmac.compare_digest(_key_id(key), str(form.get("id"))):
                with self._lock:
                    if number == 0 and self._current is None:
                        self._current = form, key  # The same salt again: one derivation serves reading and writing.
                return key
        return None


def _key_id(key: bytes) -> str:
    return hmac.new(key, b"dstream key id", hashlib.sha256).hexdigest()[:16]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
