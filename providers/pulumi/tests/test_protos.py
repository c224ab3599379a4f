"""Pulumi's messages are imported without the package `pulumi`, and are the same messages as the package's."""

import subprocess
import sys

import pulumi.runtime.proto.provider_pb2 as theirs

from dstream_pulumi.protos import provider_pb2 as ours


def test_messages_are_imported_without_the_package():
    code = (
        "import sys; from dstream_pulumi.client import Client; from dstream_pulumi.protos import engine_pb2_grpc, "
        "provider_pb2, provider_pb2_grpc, status_pb2; print([each for each in sys.modules if each[:6] == 'pulumi'])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_program_that_imports_the_package_shares_the_messages():
    assert ours.__name__ != theirs.__name__
    assert ours.CreateRequest is theirs.CreateRequest
