"""Storage in Azure Blob Storage: cells are block blobs under a lease, logs are append blobs, files are block blobs.

The state's cell is the blob named by `key`, as with Terraform; everything else lies below `KEY.d/`. A write whose
response was lost is recognized by a unique mark in the metadata, an append by the bytes at its position.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from dstream_state.azure.container import ensure_container, refuse_hierarchy
from dstream_state.azure.service import BlobService, Rejected
from dstream_state.errors import StateUnavailable
from dstream_state.storage import Busy, CannotSeal, Changed, Exists, Item, Missing, NotOwner, Refused, Stored

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobLeaseClient, BlobProperties, ContainerClient

T = TypeVar("T")
LEASE_SECONDS = 60
_MARK = "write"
_CELL, _LOG = ".json", ".log"
_LEASE_GONE = frozenset(
    {
        "LeaseIdMismatchWithBlobOperation",
        "LeaseNotPresentWithBlobOperation",
        "LeaseIdMismatchWithLeaseOperation",
        "LeaseNotPresentWithLeaseOperation",
        "LeaseIsBrokenAndCannotBeRenewed",
        "LeaseLost",
        "BlobNotFound",
    }
)
_NO_SEAL = frozenset(
    {
        "BlobApiNotYetSupportedForHierarchicalNamespaceAccounts",
        "FeatureNotYetSupportedForHierarchicalNamespaceAccounts",
        "FeatureVersionMismatch",
        "InvalidQueryParameterValue",
        "UnsupportedQueryParameter",
        "UnsupportedHeader",
    }
)


class AzureStorage:
    """`Storage` in one container; see there for every method."""

    def __init__(
        self, service: BlobService, key: str, workspace: str = "default", lease_seconds: int = LEASE_SECONDS
    ) -> None:
        """Use the blob `key` (`KEYenv:WORKSPACE` in other workspaces than the default one) of a container."""
        self.lease_seconds: float | None = float(lease_seconds)
        self._length = lease_seconds
        self._service, self._key, self._workspace = service, key, workspace
        self._state = key if workspace == "default" else f"{key}env:{workspace}"
        self._below = f"{self._state}.d/"

    def describe(self) -> str:
        """See `Storage`."""
        return f"{self._service.endpoint}/{self._service.container}/{self._state}"

    def warnings(self) -> list[str]:
        """See `Storage`."""
        return []

    def prepare(self) -> None:
        """See `Storage`. Creates the container, if that is allowed. Raises SettingsError for an unusable account."""
        ensure_container(self._service)
        refuse_hierarchy(self._service)

    def close(self) -> None:
        """See `Storage`."""
        self._service.close()

    def at(self, workspace: str) -> AzureStorage:
        """See `Storage`."""
        return AzureStorage(self._service, self._key, workspace, self._length)

    def workspaces(self) -> list[str]:
        """See `Storage`."""
        prefix = f"{self._key}env:"
        names = (name.removeprefix(prefix) for name, _ in self._blobs(prefix, delimiter="/"))
        return sorted(name for name in names if re.fullmatch(r"[A-Za-z0-9_-]+", name))

    # Cells.

    def read(self, name: str) -> Stored:
        """See `Storage`."""
        return self._read(self._cell(name))

    def read_meta(self, name: str) -> Stored:
        """See `Storage`."""
        try:
            found = self._service.call(self._blob(self._cell(name)).get_blob_properties)
        except Rejected as answer:
            raise self._unless_missing(f"{name} cannot be read", answer) from None
        return _stored(b"", found)

    def acquire(self, name: str, lease: str) -> None:
        """See `Storage`. Repeating it with the same id is harmless."""
        try:
            try:
                self._call(self._lease(name, lease).acquire, self._length)
            except Missing:
                self._make(name)
                self._call(self._lease(name, lease).acquire, self._length)
        except Missing:
            raise Busy from None
        except Rejected as answer:
            if answer.status == 409 and answer.code.startswith("Lease"):
                raise Busy from None
            raise self._unexpected("the lock cannot be taken", answer) from None

    def renew(self, name: str, lease: str) -> None:
        """See `Storage`."""
        try:
            self._hurried(self._lease(name, lease).renew)
        except Rejected as answer:
            if answer.code in _LEASE_GONE:
                raise NotOwner from None
            raise self._unexpected("the lock cannot be renewed", answer) from None

    def release(self, name: str, lease: str) -> None:
        """See `Storage`."""
        with suppress(Rejected):
            self._hurried(self._lease(name, lease).release)

    def break_lease(self, name: str) -> None:
        """See `Storage`."""
        try:
            self._call(self._lease(name).break_lease, lease_break_period=0)
        except Rejected as answer:
            if answer.status != 409:
                raise self._unexpected("the lock cannot be broken", answer) from None

    def inherit_fds(self, _name: str, _lease: str) -> tuple[int, ...]:
        """See `Storage`."""
        return ()

    def write(self, name: str, content: bytes, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """See `Storage`."""
        from azure.storage.blob import ContentSettings

        blob = self._blob(self._cell(name))
        kind = ContentSettings(content_type="application/json")
        return self._write(name, meta, lease, tag, blob.upload_blob, content, overwrite=True, content_settings=kind)

    def write_meta(self, name: str, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """See `Storage`."""
        return self._write(name, meta, lease, tag, self._blob(self._cell(name)).set_blob_metadata)

    def delete_cell(self, name: str, lease: str) -> None:
        """See `Storage`."""
        try:
            self._service.call(self._blob(self._cell(name)).delete_blob, lease=lease)
        except Rejected as answer:
            if answer.repeated and answer.code == "BlobNotFound":
                return
            if answer.code in _LEASE_GONE:
                raise NotOwner from None
            raise self._unexpected(f"{name} cannot be deleted", answer) from None

    # Logs.

    def create_log(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        try:
            self._service.call(self._blob(self._log(name)).create_append_blob, **_absent())
        except Rejected as answer:
            if answer.status != 409:
                raise self._unexpected("a journal cannot be made", answer) from None
            if not answer.repeated:
                raise Exists from None
        try:
            self.append(name, 0, content)
        except Refused:
            raise Exists from None

    def append(self, name: str, position: int, content: bytes) -> None:
        """See `Storage`."""
        try:
            self._service.call(self._blob(self._log(name)).append_block, content, appendpos_condition=position)
        except Rejected as answer:
            if answer.status not in (404, 409, 412):
                raise self._unexpected("the journal cannot be written", answer) from None
            if not (answer.repeated and self._has(name, position, content)):
                raise Refused from None

    def seal(self, name: str) -> None:
        """See `Storage`."""
        try:
            self._call(self._blob(self._log(name)).seal_append_blob)
        except Rejected as answer:
            if answer.code in _NO_SEAL or answer.status == 501:
                raise CannotSeal from None
            raise self._unexpected("the journal cannot be sealed", answer) from None

    def read_log(self, name: str) -> Stored:
        """See `Storage`."""
        return self._read(self._log(name))

    def delete_log(self, name: str, tag: str | None = None) -> None:
        """See `Storage`."""
        self._delete(self._log(name), {} if tag is None else _unchanged(tag))

    # Files.

    def put(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        try:
            self._service.call(self._blob(self._below + name).upload_blob, content, overwrite=True)
        except Rejected as answer:
            raise self._unexpected(f"{name} cannot be written", answer) from None

    def get(self, name: str) -> bytes:
        """See `Storage`."""
        return self._read(self._below + name).content

    def delete(self, name: str) -> None:
        """See `Storage`."""
        self._delete(self._below + name, {})

    def cells(self, prefix: str) -> list[str]:
        """See `Storage`."""
        return [name.removesuffix(_CELL) for name, _ in self._names(prefix) if name.endswith(_CELL)]

    def logs(self) -> list[str]:
        """See `Storage`."""
        return [name.removesuffix(_LOG) for name, _ in self._names("journal/") if name.endswith(_LOG)]

    def files(self, prefix: str) -> list[Item]:
        """See `Storage`."""
        return [Item(name, size) for name, size in self._names(prefix) if not name.endswith((_CELL, _LOG))]

    # Below.

    def _cell(self, name: str) -> str:
        return self._state if name == "state" else f"{self._below}{name}{_CELL}"

    def _log(self, name: str) -> str:
        return f"{self._below}{name}{_LOG}"

    def _blob(self, blob: str) -> BlobClient:
        return self._service.blob(blob)

    def _lease(self, name: str, lease: str | None = None) -> BlobLeaseClient:
        from azure.storage.blob import BlobLeaseClient

        return BlobLeaseClient(self._blob(self._cell(name)), lease_id=lease)

    def _call(self, method: Callable[..., T], *given: Any, **named: Any) -> T:
        """Call a method of the client. Raises Missing where there is no such blob, else Rejected."""
        try:
            return self._service.call(method, *given, **named)
        except Rejected as answer:
            if answer.code == "BlobNotFound":
                raise Missing from None
            raise

    def _hurried(self, method: Callable[..., object]) -> None:
        """Do something about a lease that is of no use later than a fraction of its length."""
        limit = self._length / 6
        self._service.call_within(limit, limit, method)

    def _make(self, name: str) -> None:
        """Create an empty cell, unless another process has just created it."""
        try:
            self._service.call(self._blob(self._cell(name)).upload_blob, b"", **_absent())
        except Rejected as answer:
            if answer.status not in (409, 412):
                raise self._unexpected("the state cannot be made", answer) from None

    def _read(self, blob: str) -> Stored:
        try:
            return self._service.call(_download, self._blob(blob))
        except Rejected as answer:
            raise self._unless_missing(f"{blob} cannot be read", answer) from None

    def _write(
        self,
        name: str,
        meta: Mapping[str, str],
        lease: str,
        tag: str,
        method: Callable[..., Mapping[str, Any]],
        *given: bytes,
        **named: Any,
    ) -> str:
        mark = uuid.uuid4().hex
        named |= {"metadata": {**meta, _MARK: mark}, "lease": lease, **_unchanged(tag)}
        try:
            return str(self._service.call(method, *given, **named)["etag"])
        except Rejected as answer:
            if answer.repeated and (written := self._written(name, mark)) is not None:
                return written
            if answer.code in _LEASE_GONE:
                raise NotOwner from None
            if answer.code == "ConditionNotMet":
                raise Changed from None
            raise self._unexpected(f"{name} cannot be written", answer) from None

    def _written(self, name: str, mark: str) -> str | None:
        """Return the tag if the cell is as the write with this mark left it."""
        try:
            found = self.read_meta(name)
        except Missing:
            return None
        return found.tag if found.meta.get(_MARK) == mark else None

    def _has(self, name: str, position: int, content: bytes) -> bool:
        """Return whether the log has `content` at `position`: an append whose answer was lost."""
        try:
            return self._service.call(_download, self._blob(self._log(name)), position, len(content)).content == content
        except Rejected:
            return False

    def _delete(self, blob: str, condition: Mapping[str, Any]) -> None:
        try:
            self._service.call(self._blob(blob).delete_blob, **condition)
        except Rejected as answer:
            if answer.code == "ConditionNotMet":
                if answer.repeated and not self._service.call(self._blob(blob).exists):
                    return
                raise Changed from None
            if answer.status != 404:
                raise self._unexpected(f"{blob} cannot be deleted", answer) from None

    def _names(self, prefix: str) -> list[tuple[str, int]]:
        return sorted((n.removeprefix(self._below), size) for n, size in self._blobs(self._below + prefix))

    def _blobs(self, prefix: str, delimiter: str = "") -> list[tuple[str, int]]:
        try:
            return self._service.call(_list, self._service.client(), prefix, delimiter)
        except Rejected as answer:
            raise self._unexpected("the container cannot be listed", answer) from None

    def _unless_missing(self, what: str, answer: Rejected) -> Exception:
        return Missing() if answer.status == 404 else self._unexpected(what, answer)

    def _unexpected(self, what: str, answer: Rejected) -> StateUnavailable:
        return StateUnavailable(f"{what}: {self._service.endpoint} answers {answer}.")


def _download(blob: BlobClient, position: int | None = None, length: int | None = None, **limits: Any) -> Stored:
    stream = blob.download_blob(position, length, **limits)
    return _stored(stream.readall(), stream.properties)


def _stored(content: bytes, found: BlobProperties) -> Stored:
    return Stored(content, {name.lower(): text for name, text in found.metadata.items()}, str(found.etag))


def _list(client: ContainerClient, prefix: str, delimiter: str, **limits: Any) -> list[tuple[str, int]]:
    """List the blobs below a prefix, with their sizes; with a delimiter, those that have none after the prefix."""
    from azure.storage.blob import BlobPrefix

    found = (
        client.walk_blobs(prefix, delimiter=delimiter, **limits) if delimiter else client.list_blobs(prefix, **limits)
    )
    return [(blob.name, blob.size) for blob in found if not isinstance(blob, BlobPrefix)]


def _absent() -> dict[str, Any]:
    """Return the condition that there is nothing of the name."""
    from azure.core import MatchConditions

    return {"match_condition": MatchConditions.IfMissing}


def _unchanged(tag: str) -> dict[str, Any]:
    """Return the condition that the stored blob has this tag."""
    from azure.core import MatchConditions

    return {"match_condition": MatchConditions.IfNotModified, "etag": tag}
