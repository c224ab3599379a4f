"""service_bus: every plane of the stand-in over one model, for as long as a context lasts."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.services.azure.arm import ArmServer
from tests.services.azure.broker import Broker
from tests.services.azure.entra import AUTHORITY, Entra
from tests.services.azure.management import NamespaceServer
from tests.services.azure.messages import Store
from tests.services.azure.model import Azure, Namespace


@dataclass(frozen=True)
class ServiceBus:
    """What runs: Azure Resource Manager over everything, and one namespace that clients can reach."""

    model: Azure
    arm: ArmServer
    server: NamespaceServer
    name: str
    entra: Entra
    certificate: Path
    """Of the authority that clients have to trust."""

    @property
    def namespace(self) -> Namespace:
        """Return the namespace."""
        return self.model.namespace(self.name)

    @property
    def broker(self) -> Broker:
        """Return its data plane."""
        return self.server.broker

    @property
    def queues(self) -> list[str]:
        """Return the names of the queues that exist."""
        return self.namespace.names("queue")

    @property
    def connection_string(self) -> str:
        """Return the connection string with all rights."""
        return self.server.connection_string()

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with which clients trust its certificate."""
        return {"REQUESTS_CA_BUNDLE": str(self.certificate), "SSL_CERT_FILE": str(self.certificate)}

    def store(self, path: str) -> Store:
        """Return the messages of a queue or subscription; KeyError if there is none."""
        return self.broker.store(path)


@contextlib.contextmanager
def arm_server(model: Azure | None = None, *, slow_namespaces: int = 0) -> Iterator[ArmServer]:
    """Run Azure Resource Manager alone, over http."""
    with ArmServer(model or Azure(), slow_namespaces=slow_namespaces) as server:
        yield server


@contextlib.contextmanager
def service_bus(
    name: str = "shop-bus", *, tier: str = "Standard", partitions: int = 1, slow_namespaces: int = 0
) -> Iterator[ServiceBus]:
    """Run all planes, with one namespace."""
    import trustme

    model = Azure()
    namespace = model.add_namespace(name, tier, partitions)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost", AUTHORITY).configure_cert(context)
    with tempfile.TemporaryDirectory(prefix="dssb-") as folder:
        certificate = Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(str(certificate))
        with (
            arm_server(model, slow_namespaces=slow_namespaces) as arm,
            NamespaceServer(model, name, context) as server,
            Entra(context) as entra,
        ):
            namespace.entra = entra.accepts
            yield ServiceBus(model, arm, server, name, entra, certificate)
