"""What every plugin has: the port on standard output, the service, the log, and values without protobuf."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, json_format, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2

from tests.services.shebang import shebang

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
ROOT = Path(__file__).resolve().parents[3]


def install(folder: Path, name: str, module: str) -> Path:
    """Write the executable `pulumi-resource-NAME` that serves a module of this folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pulumi-resource-{name}"
    path.write_text(
        f"{shebang()}import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "import tests.services.pulumi.stubs\n"
        f"from {module} import PLUGIN\nfrom tests.services.pulumi.serving import serve\nserve(PLUGIN)\n"
    )
    path.chmod(0o755)
    return path


def serve(plugin: provider_pb2_grpc.ResourceProviderServicer) -> NoReturn:
    """Serve until this process is ended, as Pulumi's plugins do."""
    server = grpc.server(ThreadPoolExecutor(32))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Event().wait()
    raise AssertionError


class Log:
    """Sends lines to the engine whose address came as the first argument."""

    def __init__(self) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(sys.argv[1]))

    def say(self, text: str, severity: int = engine_pb2.WARNING) -> None:
        """Log a line."""
        self._stub.Log(engine_pb2.LogRequest(severity=severity, message=text), timeout=10)


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return a Struct as JSON, whole numbers as integers."""
    return {name: _whole(value) for name, value in json_format.MessageToDict(struct).items()}


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return JSON as a Struct."""
    made = struct_pb2.Struct()
    made.update(values)
    return made


def secret(value: Any) -> dict[str, Any]:
    """Return a value marked as secret."""
    return {SIGNATURE: SECRET, "value": value}


def bare(value: Any) -> Any:
    """Return a value without marks of secrets."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return bare(value["value"])
        return {name: bare(inner) for name, inner in value.items()}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


def kind_of(urn: str) -> str:
    """Return the type of a URN."""
    return urn.split("::")[2].split("$")[-1]


def name_of(urn: str) -> str:
    """Return the name in a URN."""
    return urn.split("::")[-1]


def generated(urn: str, seed: bytes) -> str:
    """Return a name as plugins generate it: that of the URN, and eight digits from the seed."""
    return f"{name_of(urn)}{(seed or os.urandom(8))[:4].hex()}"


def init_failed(
    context: grpc.ServicerContext,
    id_: str,
    inputs: Any,
    outputs: Any,
    *reasons: str,
    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
) -> NoReturn:
    """End a call by the error that says: it exists, and it is not well."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=id_, properties=struct(outputs), inputs=struct(inputs), reasons=list(reasons)
        )
    )
    status = status_pb2.Status(code=2, message="resource init failed", details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, "resource init failed")
    raise AssertionError
