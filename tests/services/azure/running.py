"""service_bus: every plane of the stand-in over one model, for as long as a context lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.services.azure.arm import ArmServer
from tests.services.azure.model import Azure


@dataclass(frozen=True)
class ServiceBus:
    """What runs."""

    model: Azure
    arm: ArmServer


@contextlib.contextmanager
def arm_server(model: Azure | None = None, *, slow_namespaces: int = 0) -> Iterator[ArmServer]:
    """Run Azure Resource Manager alone, over http."""
    with ArmServer(model or Azure(), slow_namespaces=slow_namespaces) as server:
        yield server


@contextlib.contextmanager
def service_bus(*, slow_namespaces: int = 0) -> Iterator[ServiceBus]:
    """Run all planes."""
    model = Azure()
    with arm_server(model, slow_namespaces=slow_namespaces) as arm:
        yield ServiceBus(model, arm)
