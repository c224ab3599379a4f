"""Places that the state tests use: one Azurite per test process, a container per test."""

from __future__ import annotations

import uuid

import pytest

pytest.register_assert_rewrite("dstream_state.testing")

from tests.services.azurite import Azurite  # noqa: E402 - after the line above, which must come first


@pytest.fixture(scope="session")
def azure(azurite: Azurite) -> Azurite:
    """The server that other tests use as well; its clock is put forward here."""
    return azurite


@pytest.fixture
def azure_settings(azure: Azurite) -> dict[str, str]:
    """The settings of a backend in a container of its own."""
    from pathlib import Path

    from dstream_state import open_backend

    settings = {
        "connection_string": azure.connection_string,
        "container_name": f"c{uuid.uuid4().hex[:20]}",
        "key": "team/prod.dsstate",
    }
    open_backend("azurerm", settings, root=Path()).prepare()
    return settings
