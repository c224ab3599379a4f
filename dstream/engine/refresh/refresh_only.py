"""Refresh only: records drift in the state; no object is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from dstream.engine.evaluate.redaction import reveal
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.plan import Drift, DriftKind
from dstream_state import Drop, ObjectState, Put, Record


def refresh_records(
    drifts: Iterable[Drift],
    recorded: Mapping[str, ObjectState],
    refreshed_objects: Mapping[str, RefreshedObject],
    *,
    encrypted: bool,
) -> Iterator[Record]:
    """Yield the records for objects that were changed or are missing.

    Secrets are kept only if the state is `encrypted`; otherwise a drift has their fingerprints.
    """
    for drift in drifts:
        item, refreshed = recorded[drift.address], refreshed_objects[drift.address]
        if drift.kind is DriftKind.MISSING:
            yield Drop(drift.address)
        elif drift.kind is DriftKind.CHANGED:
            real = dict(drift.after or {})
            if encrypted:
                real = dict(reveal(real, refreshed.attributes, item.attributes))
            identity = refreshed.identity if refreshed.identity is not None else item.identity
            private = refreshed.private if refreshed.private is not None else item.private
            yield Put(drift.address, replace(item, attributes=real, identity=identity, private=private))
