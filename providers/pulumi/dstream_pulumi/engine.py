"""Engine: the service `pulumirpc.Engine`, which receives the log messages of a plugin."""

from __future__ import annotations

import socket
from typing import Any

from dstream_sdk import log

_INFO = 1
"""`pulumirpc.LogSeverity`: debug 0, info 1, warning 2, error 3."""


class Engine:
    """The service. Its address is known before grpc is imported, so that the plugin can start in parallel."""

    def __init__(self) -> None:
        """Reserve the address."""
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._reserved.getsockname()[1]}"
        self._server: Any = None

    def serve(self) -> None:
        """Start serving."""
        from concurrent.futures import ThreadPoolExecutor

        import grpc
        from google.protobuf.empty_pb2 import Empty

        from dstream_pulumi.protos import engine_pb2_grpc

        class Servicer(engine_pb2_grpc.EngineServicer):
            def Log(self, request: Any, context: Any) -> Empty:
                if request.severity >= _INFO:
                    name = str(request.urn).rpartition("::")[2]
                    log(f"{name}: {request.message.rstrip()}" if name else request.message.rstrip())
                return Empty()

        self._server = grpc.server(ThreadPoolExecutor(1))
        engine_pb2_grpc.add_EngineServicer_to_server(Servicer(), self._server)
        self._server.add_insecure_port(self.address)
        self._reserved.close()
        self._server.start()

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.stop(0)
