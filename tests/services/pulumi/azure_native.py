"""A stand-in for `pulumi-resource-azure-native` that knows Service Bus. It was never compared with the real one.

It behaves as azure-native's documentation and its answers say: names are generated, `__inputs` in the outputs holds
what was asked for, an object that exists is not created again, what Azure cannot change in place replaces. It talks to
Azure Resource Manager at the address in its setting `metadataHost`, or in ARM_METADATA_HOSTNAME.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.services.pulumi.azure_schema import FIXED, RESOURCES, TOP_LEVEL, VERSION, path_names, schema
from tests.services.pulumi.serving import UNKNOWN, bare, generated, init_failed, kind_of, plain, secret, struct

API_VERSION = "2022-10-01-preview"
Kind = provider_pb2.PropertyDiff


class Refused(Exception):
    """Azure said no."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Code={_code(text)!r} StatusCode={status}: {text}")
        self.status = status


class AzureNative(provider_pb2_grpc.ResourceProviderServicer):
    """The plugin."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version=VERSION)

    def Handshake(self, request, context):
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetSchema(self, request, context):
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema()))

    def CheckConfig(self, request, context):
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request, context):
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request, context):
        self.settings = bare(plain(request.args))
        if not self.settings.get("subscriptionId"):
            context.abort(grpc.StatusCode.UNKNOWN, "no subscription: set subscriptionId")
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request, context):
        token, news, olds = kind_of(request.urn), bare(plain(request.news)), bare(plain(request.olds))
        if token not in RESOURCES:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unknown resource type {token}")
        *required, own = path_names(token)
        if own not in news:
            news[own] = olds.get(own) or generated(request.urn, request.randomSeed)
        if "location" in RESOURCES[token][1] and "location" not in news and self.settings.get("location"):
            news["location"] = self.settings["location"]
        missing = [name for name in required if name not in news]
        if token.endswith(":Namespace") and "location" not in news:
            missing.append("location")
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"missing required property {name!r}") for name in missing
        ]
        return provider_pb2.CheckResponse(inputs=struct(news), failures=failures)

    def Diff(self, request, context):
        token, news, olds = kind_of(request.urn), bare(plain(request.news)), bare(plain(request.old_inputs))
        fixed = {*path_names(token), *FIXED.get(token, ()), "location"}
        detailed = {}
        for name in {**olds, **news}:
            if olds.get(name) != news.get(name):
                kind = "ADD" if name not in olds else "DELETE" if name not in news else "UPDATE"
                detailed[name] = Kind(kind=getattr(Kind, f"{kind}_REPLACE" if name in fixed else kind), inputDiff=True)
        some = provider_pb2.DiffResponse.DIFF_SOME if detailed else provider_pb2.DiffResponse.DIFF_NONE
        replaced = sorted(name for name, each in detailed.items() if Kind.Kind.Name(each.kind).endswith("_REPLACE"))
        return provider_pb2.DiffResponse(
            changes=some, diffs=sorted(detailed), replaces=replaced, detailedDiff=detailed, hasDetailedDiff=True,
            deleteBeforeReplace=bool(replaced),
        )  # fmt: skip

    def Create(self, request, context):
        token, inputs = kind_of(request.urn), bare(plain(request.properties))
        if request.preview:
            return provider_pb2.CreateResponse(properties=struct(self._previewed(token, inputs)))
        path = self._path(token, inputs)
        if self._ask(context, "GET", path, missing=True) is not None:
            context.abort(grpc.StatusCode.UNKNOWN, f"cannot create already existing resource '{path}'")
        found = self._put(context, token, path, inputs)
        return provider_pb2.CreateResponse(id=path, properties=struct(self._outputs(token, found, inputs)))

    def Read(self, request, context):
        path = request.id
        token = kind_of(request.urn)
        found = self._ask(context, "GET", path, missing=True)
        if found is None:
            return provider_pb2.ReadResponse()
        before, known = bare(plain(request.properties)), bare(plain(request.inputs))
        now = self._outputs(token, found, {})
        asked = _in_path(token, path)
        if known or before:
            # What was asked for, as far as Azure still says so; what Azure says otherwise has drifted.
            inputs = {**(known or before.get("__inputs") or {}), **asked}
            inputs |= {name: now[name] for name in RESOURCES[token][1] if name in now and now[name] != before.get(name)}
        else:
            inputs = asked | {name: now[name] for name in RESOURCES[token][1] if name in now}
        outputs = self._outputs(token, found, inputs)
        return provider_pb2.ReadResponse(id=found["id"], properties=struct(outputs), inputs=struct(inputs))

    def Update(self, request, context):
        token, inputs = kind_of(request.urn), bare(plain(request.news))
        if request.preview:
            return provider_pb2.UpdateResponse(properties=struct(self._previewed(token, inputs)))
        found = self._put(context, token, request.id, inputs)
        return provider_pb2.UpdateResponse(properties=struct(self._outputs(token, found, inputs)))

    def Delete(self, request, context):
        self._ask(context, "DELETE", request.id, missing=True)
        return empty_pb2.Empty()

    def Cancel(self, request, context):
        return empty_pb2.Empty()

    # -- Azure -----------------------------------------------------------------------------------

    def _path(self, token: str, inputs: dict[str, Any]) -> str:
        values = {"subscriptionId": self.settings["subscriptionId"], **inputs}
        return re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), RESOURCES[token][0])

    def _put(self, context: Any, token: str, path: str, inputs: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in inputs.items() if name in RESOURCES[token][1]}
        body = {name: value for name, value in given.items() if name in TOP_LEVEL}
        body["properties"] = {name: value for name, value in given.items() if name not in TOP_LEVEL}
        found = self._ask(context, "PUT", path, body)
        until = time.monotonic() + float(os.environ.get("DSTREAM_STAND_IN_PATIENCE", "60"))
        while found["properties"].get("provisioningState") == "Creating" and time.monotonic() < until:
            time.sleep(0.05)
            found = self._ask(context, "GET", path)
        if found["properties"].get("provisioningState", "Succeeded") != "Succeeded":
            outputs = self._outputs(token, found, inputs)
            init_failed(context, path, inputs, outputs, f"{path} is {found['properties']['provisioningState']}")
        return found

    def _ask(self, context: Any, method: str, path: str, body: Any = None, *, missing: bool = False) -> Any:
        """Return what Azure answers; None for what is not there, if it may be `missing`."""
        host = self.settings.get("metadataHost") or os.environ.get("ARM_METADATA_HOSTNAME", "")
        request = urllib.request.Request(
            f"{host}{urllib.request.quote(path)}?api-version={API_VERSION}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": "Bearer stand-in", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as problem:
            if missing and problem.code == 404:
                return None
            text = problem.read().decode(errors="replace")
            context.abort(grpc.StatusCode.UNKNOWN, str(Refused(problem.code, text)))
        except OSError as problem:
            context.abort(grpc.StatusCode.UNKNOWN, f"cannot reach {host}: {problem}")
        return json.loads(text) if text else {}

    def _outputs(self, token: str, found: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        names = {**RESOURCES[token][1], **RESOURCES[token][2], "name": None, "type": None, "location": None}
        flat = {**found.get("properties", {}), **{k: v for k, v in found.items() if k != "properties"}}
        made = {name: flat[name] for name in names if flat.get(name) is not None}
        return {**made, "azureApiVersion": API_VERSION, "__inputs": secret(inputs)}

    def _previewed(self, token: str, inputs: dict[str, Any]) -> dict[str, Any]:
        _, properties, outputs = RESOURCES[token]
        made = {name: inputs[name] for name in properties if name in inputs}
        unknown = dict.fromkeys([*outputs, *(name for name in properties if name not in inputs), "name"], UNKNOWN)
        return {**unknown, **made, "azureApiVersion": API_VERSION}


def _in_path(token: str, path: str) -> dict[str, Any]:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", RESOURCES[token][0])
    match = re.fullmatch(pattern, path, re.IGNORECASE)
    return {} if match is None else {name: match[name] for name in path_names(token)}


def _code(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "Unknown"


PLUGIN = AzureNative()
