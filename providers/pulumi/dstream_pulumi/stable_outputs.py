"""Present outputs: what an update certainly leaves as it is. Its other outputs are known after apply.

Were they all unknown, a change of a namespace's tags would replace its queues, which refer to its name; Pulumi's
previews say so (pulumi/pulumi-azure-nextgen#64).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dstream_pulumi.volatile_outputs import is_unsteady
from dstream_sdk import Object


def present_outputs(outputs: Iterable[str], prior: Object, inputs: Iterable[Any]) -> dict[str, Any]:
    """Return the values of those attributes among `outputs` that a part of the id, or one of the `inputs`, determines.

    `inputs` are the values of properties that do not change.
    """
    given = {value for value in inputs if isinstance(value, str)}
    id_ = f"/{prior.identity.get('id') or ''}/".lower()
    found = {}
    for name in outputs:
        value = prior.attributes.get(name)
        if not isinstance(value, str) or not value or is_unsteady(name):
            continue
        if value in given or f"/{value.lower()}/" in id_:
            found[name] = value
    return found
