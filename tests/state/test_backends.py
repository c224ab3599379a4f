"""Every backend passes the conformance kit; Azure also where answers are lost and requests are refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from dstream_state.azure_blob import AzureStorage
from dstream_state.azure_rest import Answer, BlobService, SharedKey
from dstream_state.local import LocalStorage
from dstream_state.memory import MemoryPlace
from dstream_state.testing import BackendConformance, StorageConformance, StoragePlace
from tests.services.azurite import ACCOUNT, KEY, Azurite


def in_memory(*, can_seal: bool = True) -> StoragePlace:
    moment = [0.0]
    place = MemoryPlace(can_seal=can_seal, clock=lambda: moment[0])

    def pass_time(seconds: float) -> None:
        moment[0] += seconds

    return StoragePlace(lambda: place.storage(), leased=True, pass_time=pass_time)


class LossyService(BlobService):
    """Every request with an effect is carried out, and its answer lost, the first time it is sent."""

    def once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        *,
        repeated: bool = False,
        timeout: float = 30,
    ) -> Answer:
        answer = super().once(method, path, query, headers, body, repeated=repeated, timeout=timeout)
        if method in ("PUT", "DELETE") and not repeated:
            raise ConnectionResetError("the answer was lost")
        return answer


class ThrottledService(BlobService):
    """Requests are refused by turns: 503 and 429 without effect, 500 after it took effect."""

    def __init__(self, endpoint: str, authorization: SharedKey) -> None:
        super().__init__(endpoint, authorization, first_pause=0.001)
        self.turns = itertools.cycle((503, None, 500, 429, None))

    def once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        *,
        repeated: bool = False,
        timeout: float = 30,
    ) -> Answer:
        turn = next(self.turns)
        if turn in (503, 429):
            return Answer(turn, {"x-ms-error-code": "ServerBusy"}, b"", repeated)
        answer = super().once(method, path, query, headers, body, repeated=repeated, timeout=timeout)
        return answer if turn is None else Answer(turn, {"x-ms-error-code": "OperationTimedOut"}, b"", repeated)


def in_azure(azure: Azurite, settings: dict[str, str], kind: type[BlobService]) -> StoragePlace:
    def storage() -> AzureStorage:
        key = SharedKey(ACCOUNT, KEY)
        service = (
            kind(azure.endpoint, key) if kind is ThrottledService else kind(azure.endpoint, key, first_pause=0.001)
        )
        return AzureStorage(service, settings["container_name"], settings["key"])

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
        return in_azure(azure, azure_settings, BlobService)


class Lossy:
    @pytest.fixture
    def place(self, azure: Azurite, azure_settings: dict[str, str]) -> StoragePlace:
        return in_azure(azure, azure_settings, LossyService)


class Throttled:
    @pytest.fixture
    def place(self, azure: Azurite, azure_settings: dict[str, str]) -> StoragePlace:
        return in_azure(azure, azure_settings, ThrottledService)


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


class TestAzureStorageWhereAnswersAreLost(Lossy, StorageConformance):
    pass


class TestAzureBackendWhereAnswersAreLost(Lossy, BackendConformance):
    pass


class TestAzureStorageUnderThrottling(Throttled, StorageConformance):
    pass


class TestAzureBackendUnderThrottling(Throttled, BackendConformance):
    pass
