"""Resource types: the objects that logical replication requires on the server."""

from __future__ import annotations

from typing import Any

from dstream_postgres.resources.checkpoint import Checkpoint
from dstream_postgres.resources.publication import Publication
from dstream_postgres.resources.replica_identity import ReplicaIdentity
from dstream_postgres.resources.slot import ReplicationSlot
from dstream_sdk import ResourceType


def resource_types() -> list[ResourceType[Any]]:
    """One instance of each type."""
    return [Publication(), ReplicationSlot(), ReplicaIdentity(), Checkpoint()]
