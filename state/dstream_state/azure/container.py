"""Container: created where it is missing, and refused in an account that cannot hold a state.

An account with a hierarchical namespace (Data Lake Storage Gen2) is refused. It reports that to a key and to a shared
access signature only: https://learn.microsoft.com/rest/api/storageservices/get-account-information. What it lacks:
https://learn.microsoft.com/azure/storage/blobs/storage-feature-support-in-storage-accounts; it lists directories as
blobs: https://learn.microsoft.com/rest/api/storageservices/list-blobs.
"""

from __future__ import annotations

from dstream_state.azure.service import BlobService, Rejected
from dstream_state.errors import SettingsError, StateUnavailable


def ensure_container(service: BlobService) -> None:
    """Create the container unless it exists. Raises StateUnavailable if that is not possible."""
    client = service.client()
    try:
        if service.call(client.exists):
            return
    except StateUnavailable:  # A token for a container may not ask for it; whether it may create it shows next.
        pass
    except Rejected as answer:
        raise _not_created(service, answer) from None
    try:
        service.call(client.create_container)
    except Rejected as answer:
        if answer.status != 409:
            raise _not_created(service, answer) from None


def refuse_hierarchy(service: BlobService) -> None:
    """Raise SettingsError if the account reports a hierarchical namespace."""
    try:
        found = service.call(service.client().get_account_information)
    except (Rejected, StateUnavailable):
        return  # Signed in with Microsoft Entra ID, or by a signature for less than this.
    if str(found.get("is_hns_enabled", "")).lower() == "true":
        raise SettingsError(
            f"The storage account at {service.endpoint} has a hierarchical namespace (Data Lake Storage Gen2). There, "
            "the journal of an apply cannot be sealed, and directories are listed as blobs, so that a state cannot be "
            "moved or repaired. Use an account without one (az storage account create does not enable it unless told)."
        )


def _not_created(service: BlobService, answer: Rejected) -> StateUnavailable:
    return StateUnavailable(f"the container cannot be made: {service.endpoint} answers {answer}.")
