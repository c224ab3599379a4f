"""A plugin with the habits of those over Pulumi's framework for Go, pulumi-command among them.

`frame:local:Command` runs nothing: what it "prints" is its `create` (its `update`, once it exists) with the environment
filled in, without an `echo` before it, and it leaves a file of that name. As the framework does it, Diff compares
outputs with inputs and names paths below a property, what replaces an object is in the schema alone, Read tells what it
was told, what was not told to Update and Delete is an error, an asset names the sources that it does not have, and
after Cancel nothing is answered any more.
"""

from __future__ import annotations

import hashlib
import json
import string
import time
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, provider_pb2, provider_pb2_grpc

from tests.services.pulumi.serving import SIGNATURE, UNKNOWN, Log, bare, generated, name_of, plain, secret, struct

ASSET = "c44067f5952c0a294b673a41bacd8c17"
TEXT = {"type": "string"}
INPUTS = {
    "create": {**TEXT, "description": "The command to run\non create.\n\nMore is said here."},
    "update": TEXT,
    "delete": TEXT,
    "environment": {"type": "object", "additionalProperties": TEXT},
    "triggers": {"type": "array", "items": {"$ref": "pulumi.json#/Any"}, "replaceOnChanges": True},
    "file": {"$ref": "pulumi.json#/Asset"},
}
OUTPUTS = {
    **INPUTS,
    "stdout": TEXT,
    "assets": {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Asset"}},
}
SCHEMA = {
    "name": "frame",
    "version": "1.0.0",
    "resources": {
        "frame:local:Command": {
            "inputProperties": INPUTS,
            "properties": OUTPUTS,
            "required": ["stdout"],
        }
    },
}


def differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Yield the paths at which two values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({**old, **new}):
            yield from differences(old.get(name), new.get(name), f"{path}.{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif old != new:
        yield path


class Frame(provider_pb2_grpc.ResourceProviderServicer):
    """The plugin."""

    def __init__(self) -> None:
        self.log = Log()
        self.cancelled = False

    def GetSchema(self, request, context):
        return provider_pb2.GetSchemaResponse(schema=json.dumps(SCHEMA))

    def Configure(self, request, context):
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request, context):
        self._go_on(context)
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request, context):
        self._go_on(context)
        olds, news = bare(plain(request.olds)), bare(plain(request.news))
        paths = [path for name in INPUTS for path in differences(olds.get(name), news.get(name), name)]
        update = provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.UPDATE)
        some = provider_pb2.DiffResponse.DIFF_SOME if paths else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some, diffs=paths, detailedDiff=dict.fromkeys(paths, update), hasDetailedDiff=True
        )

    def Create(self, request, context):
        self._go_on(context)
        inputs = plain(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=struct({**inputs, "stdout": UNKNOWN}))
        if bare(inputs)["create"] == "wait":
            time.sleep(request.timeout)
            context.abort(grpc.StatusCode.UNKNOWN, "signal: killed")
        outputs = {**inputs, **self._run(request.urn, "create", bare(inputs), context)}
        return provider_pb2.CreateResponse(id=generated(request.urn, b""), properties=struct(outputs))

    def Read(self, request, context):
        told = plain(request.properties)
        for asset in told.get("assets", {}).values():
            asset.pop("text", None)
            asset.pop("uri", None)
        return provider_pb2.ReadResponse(id=request.id, properties=struct(told), inputs=request.inputs)

    def Update(self, request, context):
        self._whole(plain(request.olds), context)
        inputs = plain(request.news)
        clear = bare(inputs)
        outputs = {**inputs, **self._run(request.urn, "update" if "update" in clear else "create", clear, context)}
        return provider_pb2.UpdateResponse(properties=struct(outputs))

    def Delete(self, request, context):
        self._whole(plain(request.properties), context)
        return empty_pb2.Empty()

    def Cancel(self, request, context):
        self.cancelled = True
        return empty_pb2.Empty()

    def _go_on(self, context: grpc.ServicerContext) -> None:
        if self.cancelled:
            context.abort(grpc.StatusCode.CANCELLED, "the plugin was cancelled")

    def _whole(self, olds: dict[str, Any], context: grpc.ServicerContext) -> None:
        self._go_on(context)
        if "stdout" not in olds:
            context.abort(grpc.StatusCode.UNKNOWN, "Missing required field 'stdout'")

    def _run(self, urn: str, which: str, inputs: dict[str, Any], context: grpc.ServicerContext) -> dict[str, Any]:
        said = string.Template(inputs[which]).safe_substitute(inputs.get("environment", {}))
        self.log.say(f"running {name_of(urn)}", engine_pb2.INFO)
        if said.startswith("fail"):
            context.abort(grpc.StatusCode.UNKNOWN, f'exit status 3: running "{inputs[which]}":\nbroke:{said[4:]}')
        if said.startswith("hide"):
            return {"stdout": secret(said)}
        digest = hashlib.sha256(said.encode()).hexdigest()
        asset = {SIGNATURE: ASSET, "hash": digest, "path": f"{said}.txt", "text": "", "uri": ""}
        return {"stdout": said.removeprefix("echo "), "assets": {"out.txt": asset}}


PLUGIN = Frame()
