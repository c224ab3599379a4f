"""Azure Key Vault errors, with advice on how to fix them.

Sources: https://learn.microsoft.com/azure/key-vault/general/rest-error-codes and
https://learn.microsoft.com/azure/key-vault/keys/about-keys-details. Never compared with the real service.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from dstream_state.codec import Json
from dstream_state.errors import KeyUnavailable, StateError, WrongKey

_LONGEST = 400

_NETWORK = frozenset({"ForbiddenByFirewall", "ForbiddenByConnection"})
_DISABLED = frozenset({"KeyDisabled"})
_TIME = frozenset({"KeyExpired", "KeyNotYetValid"})


def refusal(what: str, vault: str, key: str, status: int, answer: Mapping[str, Json]) -> StateError:
    """Return the error for an answer that says no.

    `what` is the operation (get, wrapKey, unwrapKey), `key` the identifier of the key, `answer` the vault's response.
    """
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    inner = error.get("innererror")
    reason = str(inner.get("code")) if isinstance(inner, dict) else str(error.get("code") or "")
    message = " ".join(str(error.get("message") or "").split())[:_LONGEST]
    words = f" The vault reports: {message}" if message else ""
    if status == 400 and what == "unwrapKey":
        return WrongKey(f"{key} does not unwrap the state's key: it was modified, or wrapped by another key.{words}")
    return KeyUnavailable(f"{_why(what, vault, key, status, reason)} Nothing was written.{words}")


def _why(what: str, vault: str, key: str, status: int, reason: str) -> str:
    head = f"{key}: {what} returned {status}{f' {reason}' if reason else ''}."
    if status == 401:
        return (
            f"{head} The vault does not accept this identity: it may belong to another tenant. Set tenant_id, or sign "
            "in to that tenant (`az login --tenant TENANT`)."
        )
    if status == 403 and reason in _DISABLED:
        return f"{head} This version is disabled: `az keyvault key set-attributes --id {key} --enabled true`."
    if status == 403 and reason in _TIME:
        return (
            f"{head} The key is outside its validity period. Create a new version: `az keyvault key rotate --id {key}`."
        )
    if status == 403 and reason in _NETWORK:
        return f"{head} The firewall of the vault rejects this machine: allow its address, or use the vault's network."
    if status == 403:
        return (
            f"{head} The identity lacks permission. Grant it the role 'Key Vault Crypto User' on the key (in a Managed "
            "HSM: 'Managed HSM Crypto User') or, in a vault with access policies, the key permissions get, wrapKey "
            "and unwrapKey. A new role takes effect after some minutes."
        )
    if status == 404:
        return (
            f"{head} The key does not exist. To recover a deleted key, run: `az keyvault key "
            f"recover --id {vault}/deletedkeys/{key.split('/')[4]}`."
        )
    if status == 409:
        return (
            f"{head} The key is being deleted or recovered. Wait until this has finished, then run the operation again."
        )
    return f"{head} Check that key_id is the address of a key in a vault."


def unusable(
    kind: str,
    operations: Collection[str],
    attributes: Mapping[str, Json],
    kinds: Collection[str],
    now: datetime,
) -> str:
    """Return why nothing may be wrapped by a key (a sentence without its subject); empty if it will do.

    The vault wraps by a disabled version and then does not unwrap, so that this cannot be left to it.
    """
    if kind not in kinds:
        return f"has the type {kind}, which cannot wrap keys. Use one of the types {', '.join(kinds)}."
    if missing := sorted({"wrapKey", "unwrapKey"} - set(operations)):
        return f"does not allow {' and '.join(missing)} (its key_ops are {', '.join(operations) or 'none'})."
    if attributes.get("enabled") is False:
        return "is disabled. Enable it (`az keyvault key set-attributes --enabled true`), or use another version."
    if (expires := attributes.get("exp")) is not None and float(expires) <= now.timestamp():
        return "has expired. Create a new version (`az keyvault key rotate`), or change its expiry date."
    if (begins := attributes.get("nbf")) is not None and float(begins) > now.timestamp():
        return "is not active yet: its activation date is in the future."
    return ""
