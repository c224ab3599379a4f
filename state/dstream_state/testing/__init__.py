"""The conformance kit: what every backend has to pass. Written for pytest, usable from outside of this project.

A backend that implements `Storage` (the short way) is given to both halves of the kit:

    from dstream_state.testing import BackendConformance, StorageConformance, StoragePlace

    class TestMyStorage(StorageConformance):
        @pytest.fixture
        def place(self, tmp_path):
            return StoragePlace(lambda: MyStorage(tmp_path), leased=True,
            pass_time=my_service.put_clock_forward)

    class TestMyBackend(BackendConformance):
        place = TestMyStorage.place

A backend of its own kind, which implements `Backend` directly, writes a `Place` and takes
`BackendConformance` alone. `leased` says whether locks end by time: tests about that are skipped where they
do not. Call `pytest.register_assert_rewrite("dstream_state.testing")` in a conftest for readable failures.
"""

from dstream_state.testing.backends import BackendConformance
from dstream_state.testing.places import Place, StoragePlace
from dstream_state.testing.storages import StorageConformance

__all__ = ["BackendConformance", "Place", "StorageConformance", "StoragePlace"]
