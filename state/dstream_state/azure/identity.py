"""Signing in to Azure with Microsoft Entra ID (Azure AD): one way for storage and for keys, with Terraform's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dstream_state.errors import StateUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

IDENTITY_ARGUMENTS: Mapping[str, str] = {
    "tenant_id": "ARM_TENANT_ID",
    "client_id": "ARM_CLIENT_ID",
    "client_secret": "ARM_CLIENT_SECRET",
}
"""Each argument with the environment variable that stands in for it."""


class LateCredential:
    """A credential of azure-identity, which is imported when the first token is needed: it takes a while."""

    def __init__(self, found: Mapping[str, str]) -> None:
        """Take the values of `IDENTITY_ARGUMENTS`, empty where there is none."""
        self._found = found
        self._source: TokenCredential | None = None

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token, by client secret if there is one, else by whatever DefaultAzureCredential finds."""
        try:
            if self._source is None:
                self._source = self._make()
            return self._source.get_token(*scopes, **options)
        except ImportError as error:
            raise StateUnavailable(
                "Signing in to Azure needs the package azure-identity. Install it: pip install azure-identity."
            ) from error
        except Exception as error:  # azure-identity promises no base class
            raise StateUnavailable(f"Signing in to Azure failed: {error}") from error

    def _make(self) -> TokenCredential:
        from azure.identity import ClientSecretCredential, DefaultAzureCredential

        found = self._found
        if found["tenant_id"] and found["client_id"] and found["client_secret"]:
            return ClientSecretCredential(found["tenant_id"], found["client_id"], found["client_secret"])
        return DefaultAzureCredential(managed_identity_client_id=found["client_id"] or None)
