"""Verified signatures: whose signatures this machine has verified, by the digest of what was signed.

They are records of this machine (`registry/machine_records.py`): neither the lock file nor the cache can claim one.
"""

from __future__ import annotations

import msgspec

from dstream.registry.machine_records import MachineRecords
from dstream.registry.trust.policy import Signer

_KIND = "signature"


def verified_signers(records: MachineRecords, digest: str) -> tuple[Signer, ...]:
    """Return the signers of a manifest whose signatures were verified on this machine."""
    raw = records.read(_KIND, digest)
    if raw is None:
        return ()
    try:
        return tuple(msgspec.json.decode(raw, type=list[Signer]))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ()


def remember_signer(records: MachineRecords, digest: str, signer: Signer) -> None:
    """Record that a signature of a manifest was verified."""
    known = verified_signers(records, digest)
    if signer not in known:
        records.write(_KIND, digest, msgspec.json.encode([*known, signer]))
