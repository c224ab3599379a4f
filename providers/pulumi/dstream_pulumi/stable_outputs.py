"""Stable outputs: outputs that an update does not change. All others are known after apply.

If all were unknown, a change of a namespace's tags would replace its queues, which refer to its name, as in Pulumi's
previews (pulumi/pulumi-azure-nextgen#64).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dstream_pulumi.volatile_outputs import is_volatile
from dstream_sdk import Object


def stable_outputs(outputs: Iterable[str], prior: Object, inputs: Iterable[Any]) -> dict[str, Any]:
    """Return the values of `outputs` that equal a segment of the id, or one of `inputs`.

    `inputs` are the values of properties that do not change.
    """
    given = {value for value in inputs if isinstance(value, str)}
    id_ = f"/{prior.identity.get('id') or ''}/".lower()
    found = {}
    for name in outputs:
        value = prior.attributes.get(name)
        if not isinstance(value, str) or not value or is_volatile(name):
            continue
        if value in given or f"/{value.lower()}/" in id_:
            found[name] = value
    return found
