"""Passphrase: keys of an encrypted state by scrypt, whose cost in memory makes guessing expensive.

Sources: RFC 7914 (scrypt), OWASP Password Storage Cheat Sheet (its costs).
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading

from dstream_state.codec import Json
from dstream_state.errors import SettingsError, WrongKey

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1
LEAST_N = 2**14
"""A document whose key is cheaper to make than with this n is refused."""
MOST_MEMORY = 1 << 30
"""A document that asks for more memory than this is refused: it was not written by this program."""

SHORTEST_PASSPHRASE = 16


class Passphrase:
    """Keys from a passphrase by scrypt; made once per salt, since it takes a third of a second on purpose."""

    def __init__(self, passphrase: str) -> None:
        """Take the passphrase; raises SettingsError if it is too short to be one."""
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise SettingsError(
                f"The passphrase of `encryption` has {len(passphrase)} characters; use at least {SHORTEST_PASSPHRASE}."
            )
        self._passphrase = passphrase.encode()
        self._keys: dict[tuple[bytes, int, int, int], bytes] = {}
        self._lock = threading.Lock()

    def make(self) -> tuple[Json, bytes]:
        """See `KeySource`."""
        salt = os.urandom(16)
        form = {
            "kind": "scrypt",
            "n": SCRYPT_N,
            "r": SCRYPT_R,
            "p": SCRYPT_P,
            "salt": base64.b64encode(salt).decode("ascii"),
        }
        return form, self._key(salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)

    def again(self, form: Json) -> bytes | None:
        """See `KeySource`."""
        if form.get("kind") != "scrypt":
            return None
        n, r, p = _costs(form)
        if n < LEAST_N or n & (n - 1) or not 1 <= p <= 16 or r < 1 or 128 * n * r > MOST_MEMORY:
            raise WrongKey(f"The scrypt costs (n={n}, r={r}, p={p}) are outside the range that dstream uses.")
        return self._key(base64.b64decode(form["salt"]), n, r, p)

    def fresh(self, form: Json) -> bool:
        """See `KeySource`. A key that was cheaper to make than it would be today is not written with again."""
        return _costs(form) == (SCRYPT_N, SCRYPT_R, SCRYPT_P)

    def _key(self, salt: bytes, n: int, r: int, p: int) -> bytes:
        with self._lock:
            if (key := self._keys.get((salt, n, r, p))) is None:
                key = hashlib.scrypt(self._passphrase, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=32)
                self._keys[salt, n, r, p] = key
            return key


def _costs(form: Json) -> tuple[int, int, int]:
    return int(form["n"]), int(form["r"]), int(form["p"])
