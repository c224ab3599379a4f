"""The resource type of version 1 lifecycles: the one opaque object of an output that speaks version 1.

The type is reserved: its name holds a colon, which the name of a provider's type never does. Earlier releases stored
it as `lifecycle`, which a provider may use for a type of its own. The address distinguishes them: the address of a
version 1 lifecycle has no key, and every other object of a task has one.
"""

from __future__ import annotations

V1_LIFECYCLE = "v1:lifecycle"
_EARLIER = "lifecycle"


def current_type(address: str, stored: str) -> str:
    """Return the type of the object at `address`, which is stored as of type `stored`."""
    if stored != _EARLIER:
        return stored
    address = address.partition("#")[0]
    return V1_LIFECYCLE if address.startswith("task.") and address.endswith(f".{_EARLIER}") else stored
