"""Pulumi's protocol buffers, without importing the package `pulumi`, which takes 250 ms.

    from dstream_pulumi.protos import provider_pb2

This module is an alias of the package `pulumi.runtime.proto`. Both share their message classes, so a program that
imports `pulumi` can run in the same process.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

__all__ = ["engine_pb2_grpc", "provider_pb2", "provider_pb2_grpc", "status_pb2"]

_package = find_spec("pulumi")  # does not import it
_folders = (_package.submodule_search_locations if _package is not None else None) or []
__path__ = [str(Path(folder, "runtime", "proto")) for folder in _folders]

if TYPE_CHECKING or not any(Path(folder, "provider_pb2.py").is_file() for folder in __path__):
    # For type checkers, and for frozen programs, where modules are not files.
    from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2
