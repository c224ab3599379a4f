"""Storage: the primitives that a place for state has to offer, and how it says no.

Three kinds of things live in it, each named by a path of ASCII letters, digits, `-`, `_`, `~` and `/`:

*cells*    content with metadata (text by text, at most 8 KiB) and a tag that changes with every write, under
a lease; *logs*     bytes that only grow, each append at an expected position, until they are sealed; *files*
bytes that are written whole and read whole.

Every method has taken effect when it returns, or raises. If the response to a request was lost, its effect must be
looked up first: `Changed`, `Refused` and `Exists` are raised only for a write of another process. Anything else that
goes wrong is a `StateUnavailable`. Methods are called from several threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from dstream_state.errors import StateError

UNREADABLE = "unreadable"
"""The only entry of metadata that is stored and cannot be parsed; its text says why.

Such metadata has a tag, so that a repair can replace it.
"""


class StorageError(StateError):
    """Base of the answers below. The algorithm turns each into an error of its own.

    None should reach a user.
    """

    def __init__(self) -> None:
        """Say which answer it is, should it reach a user after all."""
        super().__init__(f"The backend returned an unexpected answer ({type(self).__name__}). Run the operation again.")


class Busy(StorageError):
    """Another process holds the lease."""


class NotOwner(StorageError):
    """The given lease does not, or no longer, own the cell."""


class Changed(StorageError):
    """The tag given is not the current one."""


class Refused(StorageError):
    """The log is sealed, gone, or has another length than expected."""


class Exists(StorageError):
    """A cell or log of this name exists already."""


class Missing(StorageError):
    """No cell or log has this name."""


class CannotSeal(StorageError):
    """This service has no seal; recovery deletes by tag instead."""


class Stored(Struct, frozen=True):
    """A cell (content, metadata, tag) or a log (content, tag) as read at one moment."""

    content: bytes
    meta: Mapping[str, str]
    tag: str


class Item(Struct, frozen=True):
    """A file in a listing: its name, its size in bytes."""

    name: str
    size: int


class Storage(Protocol):
    """One workspace's place."""

    lease_seconds: float | None
    """How long a lease lasts unless renewed; None: it ends with the processes that hold it, and only then."""

    def describe(self) -> str:
        """Return where this is, for the user."""

    def warnings(self) -> list[str]:
        """Return a warning about this storage location, if any."""

    def prepare(self) -> None:
        """Make what has to be there first (folder, container)."""

    def at(self, workspace: str) -> Storage:
        """Return the place of another workspace."""

    def workspaces(self) -> list[str]:
        """Return the workspaces that have anything stored, `default` aside."""

    def close(self) -> None:
        """Close connections."""

    # Cells.

    def read(self, name: str) -> Stored:
        """Return the cell. Raises Missing. Content may be newer than the metadata, never older."""

    def read_meta(self, name: str) -> Stored:
        """Return the cell with empty content. Raises Missing."""

    def acquire(self, name: str, lease: str) -> None:
        """Take the lease under the id `lease` (a UUID), making an empty cell if there is none.

        Raises Busy.
        """

    def renew(self, name: str, lease: str) -> None:
        """Make the lease last `lease_seconds` from now. Raises NotOwner."""

    def release(self, name: str, lease: str) -> None:
        """Give the lease back; nothing happens if it was lost."""

    def break_lease(self, name: str) -> None:
        """End any lease on the cell immediately, where the storage supports it."""

    def inherit_fds(self, name: str, lease: str) -> tuple[int, ...]:
        """Return descriptors that keep the lease for as long as a process has them open."""

    def write(self, name: str, content: bytes, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """Replace content and metadata, all or nothing, and return the new tag.

        Raises NotOwner unless `lease` is on the cell, Changed unless `tag` is its tag.
        """

    def write_meta(self, name: str, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """Replace the metadata and return the new tag. Raises as `write` does."""

    def delete_cell(self, name: str, lease: str) -> None:
        """Delete the cell, and the lease with it. Raises NotOwner."""

    # Logs.

    def create_log(self, name: str, content: bytes) -> None:
        """Make a log. Raises Exists."""

    def append(self, name: str, position: int, content: bytes) -> None:
        """Add `content` at `position`, which must be the log's length. Durable on return. Raises Refused."""

    def seal(self, name: str) -> None:
        """Refuse every later append, including one in flight. Raises Missing, CannotSeal."""

    def read_log(self, name: str) -> Stored:
        """Return the log, perhaps with an unfinished last append. Raises Missing."""

    def delete_log(self, name: str, tag: str | None = None) -> None:
        """Delete the log; not being there is fine. With `tag`, raises Changed if it was appended to since."""

    # Files.

    def put(self, name: str, content: bytes) -> None:
        """Write the file, durably, readable by its owner alone where there are such permissions."""

    def get(self, name: str) -> bytes:
        """Return the file. Raises Missing."""

    def files(self, prefix: str) -> list[Item]:
        """Return the files (not cells, not logs) whose name begins with `prefix`, sorted by name."""

    def cells(self, prefix: str) -> list[str]:
        """Return the names of the cells whose name begins with `prefix`, sorted."""

    def logs(self) -> list[str]:
        """Return the names of all logs, sorted."""

    def delete(self, name: str) -> None:
        """Delete the file; not being there is fine."""
