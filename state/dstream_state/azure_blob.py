"""Storage in Azure Blob Storage: cells are block blobs under a lease, logs are append blobs, files are block blobs.

The state's cell is the blob named by `key`, as with Terraform; everything else lies below `KEY.d/`. A write
whose answer was lost is recognized by a mark of its own in the metadata, an append by the bytes at its
position.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from xml.etree import ElementTree

from .azure_rest import Answer, BlobService
from .errors import StateUnavailable
from .storage import Busy, CannotSeal, Changed, Exists, Item, Missing, NotOwner, Refused, Stored

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
        self,
        service: BlobService,
        container: str,
        key: str,
        workspace: str = "default",
        lease_seconds: int = LEASE_SECONDS,
    ) -> None:
        """Use the blob `key` (`KEYenv:WORKSPACE` in other workspaces than the default one) of `container`."""
        self.lease_seconds: float | None = float(lease_seconds)
        self._length = lease_seconds
        self._service, self._container, self._key, self._workspace = service, container, key, workspace
        self._state = key if workspace == "default" else f"{key}env:{workspace}"
        self._below = f"{self._state}.d/"

    def describe(self) -> str:
        """See `Storage`."""
        return f"{self._service.endpoint}/{self._container}/{self._state}"

    def warnings(self) -> list[str]:
        """See `Storage`."""
        return []

    def prepare(self) -> None:
        """See `Storage`. Makes the container, if that is allowed; else it has to be there."""
        if not self._exists():
            answer = self._service.send("PUT", self._container, {"restype": "container"})
            if answer.status not in (201, 409):
                raise self._unexpected("the container cannot be made", answer)

    def close(self) -> None:
        """See `Storage`."""
        self._service.close()

    def at(self, workspace: str) -> AzureStorage:
        """See `Storage`."""
        return AzureStorage(self._service, self._container, self._key, workspace, self._length)

    def workspaces(self) -> list[str]:
        """See `Storage`."""
        prefix = f"{self._key}env:"
        names = (name.removeprefix(prefix) for name, _ in self._blobs(prefix, delimiter="/"))
        return sorted(name for name in names if re.fullmatch(r"[A-Za-z0-9_-]+", name))

    # Cells.

    def read(self, name: str) -> Stored:
        """See `Storage`."""
        return self._stored("GET", self._cell(name))

    def read_meta(self, name: str) -> Stored:
        """See `Storage`."""
        return self._stored("HEAD", self._cell(name))

    def acquire(self, name: str, lease: str) -> None:
        """See `Storage`. Repeating it with the same id is harmless."""
        headers = {
            "x-ms-lease-action": "acquire",
            "x-ms-lease-duration": str(self._length),
            "x-ms-proposed-lease-id": lease,
        }
        answer = self._send("PUT", self._cell(name), {"comp": "lease"}, headers)
        if answer.code == "BlobNotFound":
            made = self._send("PUT", self._cell(name), headers={"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"})
            if made.status not in (201, 409, 412):
                raise self._unexpected("the state cannot be made", made)
            answer = self._send("PUT", self._cell(name), {"comp": "lease"}, headers)
        if answer.status == 409 or answer.code == "BlobNotFound":
            raise Busy
        self._expect(answer, 201, "the lock cannot be taken")

    def renew(self, name: str, lease: str) -> None:
        """See `Storage`."""
        headers = {"x-ms-lease-action": "renew", "x-ms-lease-id": lease}
        answer = self._hurried(name, headers)
        if answer.code in _LEASE_GONE:
            raise NotOwner
        self._expect(answer, 200, "the lock cannot be renewed")

    def release(self, name: str, lease: str) -> None:
        """See `Storage`."""
        headers = {"x-ms-lease-action": "release", "x-ms-lease-id": lease}
        self._hurried(name, headers)

    def break_lease(self, name: str) -> None:
        """See `Storage`."""
        headers = {"x-ms-lease-action": "break", "x-ms-lease-break-period": "0"}
        answer = self._send("PUT", self._cell(name), {"comp": "lease"}, headers)
        if answer.code == "BlobNotFound":
            raise Missing
        if answer.status not in (202, 409):
            raise self._unexpected("the lock cannot be broken", answer)

    def inherit_fds(self, name: str, lease: str) -> tuple[int, ...]:
        """See `Storage`."""
        return ()

    def write(self, name: str, content: bytes, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """See `Storage`."""
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/json"}
        return self._write(name, {}, headers, content, meta, lease, tag)

    def write_meta(self, name: str, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """See `Storage`."""
        return self._write(name, {"comp": "metadata"}, {}, b"", meta, lease, tag)

    def delete_cell(self, name: str, lease: str) -> None:
        """See `Storage`."""
        answer = self._send("DELETE", self._cell(name), headers={"x-ms-lease-id": lease})
        if answer.code in _LEASE_GONE and not (answer.repeated and answer.code == "BlobNotFound"):
            raise NotOwner
        if answer.status not in (202, 404):
            raise self._unexpected(f"{name} cannot be deleted", answer)

    # Logs.

    def create_log(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        answer = self._send("PUT", self._log(name), headers={"x-ms-blob-type": "AppendBlob", "If-None-Match": "*"})
        if answer.status == 409 and not answer.repeated:
            raise Exists
        if answer.status not in (201, 409):
            raise self._unexpected("a journal cannot be made", answer)
        try:
            self.append(name, 0, content)
        except Refused:
            raise Exists from None

    def append(self, name: str, position: int, content: bytes) -> None:
        """See `Storage`."""
        headers = {"x-ms-blob-condition-appendpos": str(position)}
        answer = self._send("PUT", self._log(name), {"comp": "appendblock"}, headers, content)
        if answer.status == 201:
            return
        if answer.status not in (404, 409, 412):
            raise self._unexpected("the journal cannot be written", answer)
        if not (answer.repeated and self._has(name, position, content)):
            raise Refused

    def seal(self, name: str) -> None:
        """See `Storage`."""
        answer = self._send("PUT", self._log(name), {"comp": "seal"})
        if answer.code == "BlobNotFound":
            raise Missing
        if answer.code in _NO_SEAL or answer.status == 501:
            raise CannotSeal
        self._expect(answer, 200, "the journal cannot be sealed")

    def read_log(self, name: str) -> Stored:
        """See `Storage`."""
        return self._stored("GET", self._log(name))

    def delete_log(self, name: str, tag: str | None = None) -> None:
        """See `Storage`."""
        self._delete(self._log(name), {} if tag is None else {"If-Match": tag})

    # Files.

    def put(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        answer = self._send("PUT", self._below + name, headers={"x-ms-blob-type": "BlockBlob"}, body=content)
        self._expect(answer, 201, f"{name} cannot be written")

    def get(self, name: str) -> bytes:
        """See `Storage`."""
        return self._stored("GET", self._below + name).content

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

    def _send(
        self,
        method: str,
        blob: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        return self._service.send(method, f"{self._container}/{blob}", query, headers, body)

    def _hurried(self, name: str, headers: Mapping[str, str]) -> Answer:
        """Send something about a lease that is of no use later than a fraction of its length."""
        path, limit = f"{self._container}/{self._cell(name)}", self._length / 6
        return self._service.send("PUT", path, {"comp": "lease"}, headers, retry_seconds=limit, timeout=limit)

    def _stored(self, method: str, blob: str) -> Stored:
        answer = self._send(method, blob)
        if answer.status == 404:
            raise Missing
        self._expect(answer, 200, f"{blob} cannot be read")
        prefix = "x-ms-meta-"
        meta = {name.removeprefix(prefix): text for name, text in answer.headers.items() if name.startswith(prefix)}
        return Stored(answer.body, meta, answer.headers["etag"])

    def _write(
        self,
        name: str,
        query: Mapping[str, str],
        headers: dict[str, str],
        content: bytes,
        meta: Mapping[str, str],
        lease: str,
        tag: str,
    ) -> str:
        mark = uuid.uuid4().hex
        headers |= {"x-ms-lease-id": lease, "If-Match": tag}
        headers |= {f"x-ms-meta-{key}": text for key, text in (dict(meta) | {_MARK: mark}).items()}
        answer = self._send("PUT", self._cell(name), query, headers, content)
        if answer.status in (200, 201):
            return answer.headers["etag"]
        if answer.repeated and (written := self._written(name, mark)) is not None:
            return written
        if answer.code in _LEASE_GONE:
            raise NotOwner
        if answer.code == "ConditionNotMet":
            raise Changed
        raise self._unexpected(f"{name} cannot be written", answer)

    def _written(self, name: str, mark: str) -> str | None:
        """Return the tag if the cell is as the write with this mark left it."""
        try:
            found = self.read_meta(name)
        except Missing:
            return None
        return found.tag if found.meta.get(_MARK) == mark else None

    def _has(self, name: str, position: int, content: bytes) -> bool:
        """Tell whether the log has `content` at `position`: an append whose answer was lost."""
        span = f"bytes={position}-{position + len(content) - 1}"
        answer = self._send("GET", self._log(name), headers={"x-ms-range": span})
        return answer.status in (200, 206) and answer.body == content

    def _delete(self, blob: str, headers: Mapping[str, str]) -> None:
        answer = self._send("DELETE", blob, headers=headers)
        if answer.code == "ConditionNotMet":
            if answer.repeated and self._send("HEAD", blob).status == 404:
                return
            raise Changed
        if answer.status not in (202, 404):
            raise self._unexpected(f"{blob} cannot be deleted", answer)

    def _names(self, prefix: str) -> list[tuple[str, int]]:
        return sorted((n.removeprefix(self._below), size) for n, size in self._blobs(self._below + prefix))

    def _blobs(self, prefix: str, delimiter: str = "") -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        query = {"restype": "container", "comp": "list", "prefix": prefix}
        if delimiter:
            query["delimiter"] = delimiter
        while True:
            answer = self._service.send("GET", self._container, query)
            self._expect(answer, 200, "the container cannot be listed")
            root = ElementTree.fromstring(answer.body)  # noqa: S314 - the service's own answer, over its own connection
            found.extend(
                (blob.findtext("Name", ""), int(blob.findtext("Properties/Content-Length", "0")))
                for blob in root.iter("Blob")
            )
            marker = root.findtext("NextMarker")
            if not marker:
                return found
            query["marker"] = marker

    def _exists(self) -> bool:
        try:
            return self._service.send("HEAD", self._container, {"restype": "container"}).status == 200
        except StateUnavailable:
            return False

    def _expect(self, answer: Answer, status: int, what: str) -> None:
        if answer.status != status:
            raise self._unexpected(what, answer)

    def _unexpected(self, what: str, answer: Answer) -> StateUnavailable:
        return StateUnavailable(f"{what}: {self._service.endpoint} answers {answer.status} {answer.code}.")
