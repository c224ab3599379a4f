"""Storage: a storage account, and what the backend "azurerm" relies on there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from dstream_state import Checkpoint, LeaseLost, ObjectState, Put, StateConflict, StateLocked, open_backend
from dstream_state.backend import Backend
from examples.try_azure.checks import Checks, Stage, expect
from examples.try_azure.trial import Trial

VERSION = "2023-05-01"
LEASE = 15
check = Checks("storage", "Azurite")


def prepare(trial: Trial) -> None:
    """Create an account, and keep its connection string."""
    path = f"Microsoft.Storage/storageAccounts/dstry{trial.mark}"
    properties = {"allowBlobPublicAccess": False, "minimumTlsVersion": "TLS1_2", "isHnsEnabled": False}
    body = {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": properties}
    made = trial.create(path, VERSION, body)
    key = trial.action(f"{path}/listKeys", VERSION)["keys"][0]["value"]
    endpoint = made["properties"]["primaryEndpoints"]["blob"].rstrip("/")
    scheme = endpoint.partition(":")[0]
    account = f"DefaultEndpointsProtocol={scheme};AccountName={made['name']};AccountKey={key}"
    trial.found["storage"] = f"{account};BlobEndpoint={endpoint}"
    trial.report.secret(key)


def backend(trial: Trial, key: str = "try.json") -> Backend:
    """Return a backend in the account."""
    settings = {"connection_string": trial.found["storage"], "container_name": "state", "key": key}
    return open_backend("azurerm", settings, root=trial.folder)


def blob(trial: Trial, content: bytes | None = b"one") -> Any:
    """Return the official client of a new blob with some content, in the backend's container."""
    from azure.storage.blob import BlobClient

    made = BlobClient.from_connection_string(trial.found["storage"], "state", f"raw/{uuid.uuid4().hex}")
    if content is not None:
        made.upload_blob(content)
    return made


def code(call: Callable[..., object], *given: Any, **named: Any) -> str:
    """Return status and error code of a refused call, empty if it went well."""
    from azure.core.exceptions import HttpResponseError

    try:
        call(*given, **named)
    except HttpResponseError as problem:
        error = getattr(problem, "error_code", None)
        return f"{problem.status_code} {getattr(error, 'value', error)}"
    return ""


def put(name: str) -> Put:
    """Return a record of an object."""
    return Put(name, ObjectState("p", "t", "k", None, {"n": 1}))


@check("container", "`init` creates the container, and takes an account without a hierarchical namespace",
       "rest/api/storageservices/get-account-information")  # fmt: skip
def container(trial: Trial) -> None:
    """The backend prepares itself."""
    backend(trial).prepare()
    backend(trial).prepare()


@check("lock", "one process holds the lock of a state; a second one is refused", "rest/api/storageservices/lease-blob")
def lock(trial: Trial) -> None:
    """A second lock is refused, and works when the first is released."""
    opened = backend(trial)
    with opened.lock("apply") as held:
        try:
            with backend(trial).lock("apply"):
                expect("a second lock", "no second lock")
        except StateLocked:
            pass
        held.append([put("a")])
        held.finish()
    with backend(trial).lock("apply") as held:
        expect(sorted(held.current().resources), ["a"])


@check("lock-broken", "a holder whose lock was broken cannot write any more", "rest/api/storageservices/lease-blob")
def broken(trial: Trial) -> str:
    """Break the lock, write as another holder, and see the first one refused."""
    from azure.storage.blob import BlobClient, BlobLeaseClient

    first = backend(trial, "broken.json")
    found = ""
    try:
        with first.lock("apply") as held:
            held.append([put("a")])
            broken = BlobClient.from_connection_string(trial.found["storage"], "state", "broken.json")
            BlobLeaseClient(broken).break_lease(lease_break_period=0)
            with backend(trial, "broken.json").lock("apply") as second:
                second.append([put("b")])
                second.finish()
            held.append([put("c")])
            held.finish()
    except (LeaseLost, StateConflict) as problem:
        found = type(problem).__name__
    expect(bool(found), True, "the first holder is refused")
    view = backend(trial, "broken.json").read()
    expect("c" in (view.snapshot.resources if view.snapshot else {}), False, "written by the first holder")
    return found


@check("workspaces", "each workspace is a blob of its own, found by listing", "rest/api/storageservices/list-blobs")
def workspaces(trial: Trial) -> None:
    """Make a workspace and list it."""
    with backend(trial).at("eu").lock("workspace new") as held:
        held.finish()
    expect(backend(trial).workspaces(), ["default", "eu"])


@check(
    "checkpoints", "checkpoints and dead letters are read back as they were stored", "rest/api/storageservices/put-blob"
)
def checkpoints(trial: Trial) -> None:
    """Store a checkpoint and a dead letter."""
    with backend(trial).task("copy").acquire("run") as task:
        task.store(Checkpoint({"lsn": 7}, "task.copy"))
        task.dead_letters.append([(b"{}", "bad")])
    found = backend(trial).task("copy")
    checkpoint = found.read().checkpoint
    expect(checkpoint and checkpoint.position, {"lsn": 7})
    expect(len(found.dead_letters.list()), 1)


@check("move", "a state moves from a folder to Blob Storage with its checkpoints", "rest/api/storageservices/put-blob")
def move(trial: Trial) -> str:
    """Move a local state here."""
    local = open_backend("local", {"path": "moving"}, root=trial.folder)
    with local.lock("apply") as held:
        held.append([put("a")])
        held.finish()
    with local.task("copy").acquire("run") as task:
        task.store(Checkpoint({"lsn": 8}, "task.copy"))
    moved = local.move_to(backend(trial, "moved.json"))
    checkpoint = backend(trial, "moved.json").task("copy").read().checkpoint
    expect(checkpoint and checkpoint.position, {"lsn": 8})
    return str(moved)


@check("lease-held", "acquiring a lease that is held: 409 LeaseAlreadyPresent", "rest/api/storageservices/lease-blob")
def lease_held(trial: Trial) -> None:
    """Acquire twice."""
    made = blob(trial)
    lease = made.acquire_lease(LEASE)
    expect(code(made.acquire_lease, LEASE), "409 LeaseAlreadyPresent")
    expect(code(made.acquire_lease, LEASE, lease_id=lease.id), "", "again with the same id")


@check("lease-writes", "a write without the lease, with an old one, and with a broken one: 412, three codes",
       "rest/api/storageservices/blob-service-error-codes")  # fmt: skip
def lease_writes(trial: Trial) -> None:
    """Write in each situation."""
    made = blob(trial)
    old = made.acquire_lease(LEASE)
    expect(code(made.upload_blob, b"x", overwrite=True), "412 LeaseIdMissing", "without")
    old_id = old.id
    old.break_lease(lease_break_period=0)
    found = code(made.upload_blob, b"x", overwrite=True, lease=old_id)
    expect(found, "412 LeaseNotPresentWithBlobOperation", "broken")
    made.acquire_lease(LEASE)
    found = code(made.upload_blob, b"x", overwrite=True, lease=old_id)
    expect(found, "412 LeaseIdMismatchWithBlobOperation", "of an earlier holder")


@check(
    "lease-expires", "a lease that is not renewed for its length can be taken", "rest/api/storageservices/lease-blob"
)
def lease_expires(trial: Trial) -> None:
    """Wait until a lease ends."""
    made = blob(trial)
    made.acquire_lease(LEASE)
    trial.wait(LEASE + 1)
    expect(code(made.acquire_lease, LEASE), "")


@check("conditions", "a stale If-Match: 412 ConditionNotMet; create of what exists: 409 BlobAlreadyExists",
       "rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations")  # fmt: skip
def conditions(trial: Trial) -> None:
    """Write with an old ETag, and create again."""
    from azure.core import MatchConditions

    made = blob(trial)
    old = made.get_blob_properties().etag
    made.upload_blob(b"two", overwrite=True)
    stale = {"etag": old, "match_condition": MatchConditions.IfNotModified, "overwrite": True}
    expect(code(made.upload_blob, b"three", **stale), "412 ConditionNotMet")
    expect(code(made.upload_blob, b"four", match_condition=MatchConditions.IfMissing), "409 BlobAlreadyExists")


@check("append", "an append at another position: 412 AppendPositionConditionNotMet; to a sealed blob: refused",
       "rest/api/storageservices/append-blob-seal")  # fmt: skip
def append(trial: Trial) -> str:
    """Append, append again at the same position, seal, append."""
    made = blob(trial, None)
    made.create_append_blob()
    made.append_block(b"one", appendpos_condition=0)
    expect(code(made.append_block, b"x", appendpos_condition=0), "412 AppendPositionConditionNotMet")
    made.seal_append_blob()
    found = code(made.append_block, b"two", appendpos_condition=3)
    expect(found[:3], "409", "append to a sealed blob")
    return found


STAGE = Stage("storage", "A storage account as backend", "less than USD 0.01", prepare, tuple(check.all))
