"""Refusals of Blob Storage: what each error code says about the role, the firewall, the key or the account.

Sources: https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes,
https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes,
https://learn.microsoft.com/rest/api/storageservices/sas-error-codes,
https://learn.microsoft.com/troubleshoot/azure/azure-storage/blobs/authentication/storage-troubleshoot-403-errors.
"""

from __future__ import annotations

from collections.abc import Mapping

_ROLE = (
    "the identity lacks a role, or the shared access signature a permission. Assign the role 'Storage Blob Data "
    "Contributor' on the container; 'Storage Blob Data Reader' is enough for plan and other commands that only read. A "
    "new assignment takes up to ten minutes"
)
_KEY = "the access key or the shared access signature is wrong or expired, or the clock of this machine is off"

_REASONS: Mapping[str, str] = {
    "AuthorizationPermissionMismatch": _ROLE,
    "InsufficientAccountPermissions": _ROLE,
    "AuthorizationFailure": (
        "the firewall of the storage account does not allow this network. Add the address or the virtual network to "
        "its network rules, or use its private endpoint. An emulator reports a wrong access key like this"
    ),
    "AuthenticationFailed": _KEY,
    "KeyBasedAuthenticationNotPermitted": (
        "the account does not allow access keys. Set use_azuread_auth = true and remove access_key, sas_token and "
        "connection_string"
    ),
    "InvalidAuthenticationInfo": (
        "the token was not accepted. Check tenant_id, and environment where the account is not in the public cloud"
    ),
    "AuthorizationSourceIPMismatch": "the shared access signature does not allow the address of this machine",
    "AuthorizationProtocolMismatch": "the shared access signature does not allow this protocol. Use https",
    "AuthorizationServiceMismatch": "the shared access signature is not for the blob service",
    "AuthorizationResourceTypeMismatch": "the shared access signature is not for containers and objects",
    "AccountIsDisabled": "the storage account is disabled",
    "BlobImmutableDueToPolicy": (
        "an immutability policy or a legal hold protects the container, so that state and lock cannot be written. Use "
        "a container without one; versioning and soft delete protect a state"
    ),
}


def refusal(status: int, code: str) -> str | None:
    """Return why the service refused a request for good, and what to do; None for answers that the caller handles."""
    if code in _REASONS:
        return _REASONS[code]
    if status == 401:
        return "the credentials were not accepted"
    if status == 403:
        return f"access was denied. Either {_KEY}; or {_ROLE}"
    return None
