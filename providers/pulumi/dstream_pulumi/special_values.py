"""Special values of Pulumi's wire protocol: unknowns, secrets, assets, outputs and resource references.

The constants are from Pulumi's sdk/go/common/resource. They are part of the protocol and do not change.
"""

from __future__ import annotations

from typing import Any

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a constant of the protocol, no password
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_OTHER_UNKNOWNS = frozenset(
    {
        UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
    }
)


def signature(value: Any) -> str:
    """Return the signature of a special value, or "" for a plain one."""
    return str(value.get(SIGNATURE, "")) if isinstance(value, dict) else ""


def is_unknown(value: Any) -> bool:
    """Return whether a value is one of Pulumi's sentinels for unknown values."""
    return isinstance(value, str) and value in _OTHER_UNKNOWNS


def secret(value: Any) -> dict[str, Any]:
    """Return a value marked as secret."""
    return {SIGNATURE: SECRET, "value": value}
