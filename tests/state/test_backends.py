"""Every backend passes the conformance kit; Azure also where answers are lost and requests are refused."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential

from dstream_state.azure.blob import AzureStorage
from dstream_state.azure.service import BlobService
from dstream_state.local import LocalStorage
from dstream_state.memory import MemoryPlace
from dstream_state.testing import BackendConformance, StorageConformance, StoragePlace
from tests.services.azurite import ACCOUNT, KEY, Azurite
from tests.services.faulty_proxy import LOST, NEVER_ARRIVED, PASSED, Fate, faulty_proxy


def in_memory(*, can_seal: bool = True) -> StoragePlace:
    moment = [0.0]
    place = MemoryPlace(can_seal=can_seal, clock=lambda: moment[0])

    def pass_time(seconds: float) -> None:
        moment[0] += seconds

    return StoragePlace(lambda: place.storage(), leased=True, pass_time=pass_time)


class Lossy:
    """Every request with an effect is carried out, and its answer lost, the first time it is sent."""

    def __init__(self) -> None:
        self.lost: set[tuple[str, str]] = set()

    def __call__(self, method: str, path: str) -> Fate:
        if method not in ("PUT", "DELETE"):
            return PASSED
        if (method, path) in self.lost:
            self.lost.remove((method, path))
            return PASSED
        self.lost.add((method, path))
        return LOST


class Throttled:
    """Requests are refused by turns: without effect, after they took effect, or by a connection that breaks.

    Two in a row get through now and then: to read an empty blob, the client needs two. Nothing is refused four times
    in a row: giving up then is right, and tested elsewhere. That holds for one client; each has turns of its own.
    """

    def __init__(self) -> None:
        self.turns = itertools.cycle(
            (
                Fate(carried_out=False, answer=503),
                PASSED,
                Fate(answer=500, code="OperationTimedOut"),
                Fate(carried_out=False, answer=429, headers={"Retry-After": "0"}),
                PASSED,
                NEVER_ARRIVED,
                PASSED,
                PASSED,
            )
        )
        self.refused: Counter[tuple[str, str]] = Counter()

    def __call__(self, method: str, path: str) -> Fate:
        fate = next(self.turns)
        if fate is PASSED or self.refused[method, path] == 3:
            self.refused[method, path] = 0
            return PASSED
        self.refused[method, path] += 1
        return fate


def in_azure(azure: Azurite, settings: dict[str, str], endpoint: Callable[[], str] | None = None) -> StoragePlace:
    """Return a place in Azurite; each client that is opened there asks for its `endpoint` first."""

    def storage() -> AzureStorage:
        def credential() -> AzureNamedKeyCredential:
            return AzureNamedKeyCredential(ACCOUNT, KEY)

        address = endpoint() if endpoint else azure.endpoint
        service = BlobService(address, settings["container_name"], credential, first_pause=0.001)
        return AzureStorage(service, settings["key"])

    return StoragePlace(storage, leased=True, pass_time=azure.travel)


class Memory:
    @pytest.fixture
    def place(self) -> StoragePlace:
        return in_memory()


class Unsealed:
    @pytest.fixture
    def place(self) -> StoragePlace:
        return in_memory(can_seal=False)


class Local:
    @pytest.fixture
    def place(self, tmp_path: Path) -> StoragePlace:
        return StoragePlace(lambda: LocalStorage(tmp_path / "state", "default"), leased=False)


class AzureBlob:
    @pytest.fixture
    def place(self, azure: Azurite, azure_settings: dict[str, str]) -> StoragePlace:
        return in_azure(azure, azure_settings)


class LosesAnswers:
    @pytest.fixture
    def place(self, azure: Azurite, azure_settings: dict[str, str]) -> Iterator[StoragePlace]:
        with faulty_proxy(azure.endpoint, Lossy()) as endpoint:
            yield in_azure(azure, azure_settings, lambda: endpoint)


class Throttles:
    @pytest.fixture
    def place(self, azure: Azurite, azure_settings: dict[str, str]) -> Iterator[StoragePlace]:
        with ExitStack() as proxies:

            def endpoint() -> str:
                return proxies.enter_context(faulty_proxy(azure.endpoint, Throttled()))

            yield in_azure(azure, azure_settings, endpoint)


class TestMemoryStorage(Memory, StorageConformance):
    pass


class TestMemoryBackend(Memory, BackendConformance):
    pass


class TestBackendWithoutSeal(Unsealed, BackendConformance):
    pass


class TestLocalStorage(Local, StorageConformance):
    pass


class TestLocalBackend(Local, BackendConformance):
    pass


class TestAzureStorage(AzureBlob, StorageConformance):
    pass


class TestAzureBackend(AzureBlob, BackendConformance):
    pass


class TestAzureStorageWhereAnswersAreLost(LosesAnswers, StorageConformance):
    pass


class TestAzureBackendWhereAnswersAreLost(LosesAnswers, BackendConformance):
    pass


class TestAzureStorageUnderThrottling(Throttles, StorageConformance):
    pass


class TestAzureBackendUnderThrottling(Throttles, BackendConformance):
    pass
