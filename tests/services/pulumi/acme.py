"""A plugin with every habit that plugins have, over objects in a folder (its setting `folder`).

`acme:stuff:Thing` has a generated name, secrets in and out, an asset, a map, an object and a list. What its `mood` is
decides how it fares: `failing` (it is made and does not become ready), `crashing` (the plugin dies when it is made),
`dying` (it dies before), `slow` (it waits until it is cancelled), `refused` (an error, and nothing is made), `unready`
(it is made, and not ready in time), `lasting 6` (each change takes 6 s, or is given up when the time for it is over).
`acme:stuff:Plain` is served in the old way: no secrets, no names; it cannot be read. Every function answers with the
size and the key of the file `name`.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.services.pulumi.serving import (
    SIGNATURE,
    UNKNOWN,
    Log,
    bare,
    generated,
    init_failed,
    kind_of,
    plain,
    secret,
    struct,
)

TEXT = {"type": "string"}
THING = {
    "thingName": {"type": "string", "willReplaceOnChanges": True},
    "size": {"type": "integer"},
    "ratio": {"type": "number"},
    "region": {"type": "string", "willReplaceOnChanges": True},
    "labels": {"type": "object", "additionalProperties": TEXT},
    "limits": {"$ref": "#/types/acme:stuff:Limits"},
    "rules": {"type": "array", "items": {"$ref": "#/types/acme:stuff:Rule"}},
    "password": {"type": "string", "secret": True},
    "code": {"$ref": "pulumi.json#/Asset"},
    "note": TEXT,
    "mood": TEXT,
}
SCHEMA = {
    "name": "acme",
    "version": "1.2.3",
    "config": {
        "variables": {"folder": TEXT, "apiKey": {"type": "string", "secret": True}, "retries": {"type": "integer"}}
    },
    "types": {
        "acme:stuff:Limits": {
            "type": "object",
            "properties": {"maxItems": {"type": "integer"}, "hardLimit": {"type": "boolean"}},
            "required": ["maxItems"],
        },
        "acme:stuff:Rule": {"type": "object", "properties": {"ruleName": TEXT, "portRange": TEXT}},
    },
    "resources": {
        "acme:stuff:Thing": {
            "description": "A thing.",
            "inputProperties": THING,
            "requiredInputs": ["size"],
            "properties": {
                **THING,
                "accessKey": {"type": "string", "secret": True},
                "address": TEXT,
                "updatedAt": TEXT,
            },
        },
        "acme:stuff:Plain": {"inputProperties": {"text": TEXT, "size": {"type": "integer"}}},
        "acme:parts:Kit": {"isComponent": True, "inputProperties": {"text": TEXT}},
        "acme:parts/sub:Part": {"inputProperties": {"text": TEXT}, "properties": {"text": TEXT}},
    },
}  # fmt: skip


class Acme(provider_pb2_grpc.ResourceProviderServicer):
    """The plugin."""

    def __init__(self) -> None:
        self.folder = Path()
        self.log = Log()
        self.cancelled = threading.Event()
        self.calls = 0

    def Handshake(self, request, context):
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetSchema(self, request, context):
        return provider_pb2.GetSchemaResponse(schema=json.dumps(SCHEMA))

    def CheckConfig(self, request, context):
        given = bare(plain(request.news))
        if "folder" not in given:
            failure = provider_pb2.CheckFailure(property="folder", reason="it is required")
            return provider_pb2.CheckResponse(failures=[failure])
        return provider_pb2.CheckResponse(inputs=request.news)

    def Configure(self, request, context):
        self.folder = Path(bare(plain(request.args))["folder"])
        self._note("Configure", plain(request.args), dict(request.variables))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request, context):
        news, olds = plain(request.news), bare(plain(request.olds))
        self._note("Check", news)
        if kind_of(request.urn).endswith("Thing"):
            if "thingName" not in news:
                news["thingName"] = olds.get("thingName") or generated(request.urn, request.randomSeed)
            if news.get("size") == 13:
                failure = provider_pb2.CheckFailure(property="size", reason="13 is bad luck")
                return provider_pb2.CheckResponse(inputs=struct(news), failures=[failure])
            if news.get("note") == "private":
                news["note"] = secret("made up by the plugin")
        return provider_pb2.CheckResponse(inputs=struct(news))

    def Diff(self, request, context):
        olds, news = bare(plain(request.old_inputs)), bare(plain(request.news))
        changed = sorted(name for name in {**olds, **news} if olds.get(name) != news.get(name))
        self._note("Diff", changed)
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some, diffs=changed, replaces=[name for name in changed if name in ("thingName", "region")]
        )

    def Create(self, request, context):
        inputs = plain(request.properties)
        self._note("Preview" if request.preview else "Create", inputs, request.timeout)
        if request.preview:
            return provider_pb2.CreateResponse(properties=struct({**inputs, "address": UNKNOWN, "accessKey": UNKNOWN}))
        clear = bare(inputs)
        mood = clear.get("mood")
        if mood == "dying":
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "refused":
            context.abort(grpc.StatusCode.UNKNOWN, "quota exceeded: StatusCode=429 TooManyRequests")
        if mood == "slow":
            self.cancelled.wait(60)
            context.abort(grpc.StatusCode.CANCELLED, "given up")
        self._last(request, context, mood)
        id_ = f"thing-{clear.get('thingName') or clear.get('text')}"
        if (self.folder / id_).exists():
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{id_} already exists")
        outputs = self._write(id_, clear, 1)
        if mood == "crashing":
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "failing":
            init_failed(context, id_, inputs, outputs, "it does not answer")
        if mood == "unready":
            self.cancelled.wait(request.timeout)
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            init_failed(context, id_, inputs, outputs, "it was not ready in time", code=code)
        self.log.say(f"made {id_}")
        return provider_pb2.CreateResponse(id=id_, properties=struct(outputs))

    def Read(self, request, context):
        if kind_of(request.urn).endswith("Plain"):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Read is not implemented")
        file = self.folder / request.id
        self._note("Read", plain(request.inputs))
        if not file.exists():
            return provider_pb2.ReadResponse()
        kept = json.loads(file.read_text())
        asked = {name: value for name, value in kept["inputs"].items() if name != "mood" or value != "failing"}
        outputs = self._write(request.id, kept["inputs"], kept["visits"] + 1)
        return provider_pb2.ReadResponse(id=request.id, properties=struct(outputs), inputs=struct(asked))

    def Update(self, request, context):
        inputs = bare(plain(request.news))
        self._note("Update", plain(request.news), plain(request.old_inputs), request.timeout)
        self._last(request, context, inputs.get("mood"))
        outputs = self._write(request.id, inputs, 1)
        if inputs.get("mood") == "failing":
            init_failed(context, request.id, inputs, outputs, "it does not answer any more")
        return provider_pb2.UpdateResponse(properties=struct(outputs))

    def Delete(self, request, context):
        self._note("Delete", plain(request.old_inputs), plain(request.properties), request.timeout)
        self._last(request, context, bare(plain(request.old_inputs)).get("mood"))
        (self.folder / request.id).unlink(missing_ok=True)
        return empty_pb2.Empty()

    def Invoke(self, request, context):
        given = plain(request.args)
        if "name" not in given:
            failure = provider_pb2.CheckFailure(property="name", reason="it is required")
            return provider_pb2.InvokeResponse(failures=[failure])
        if not (self.folder / given["name"]).exists():
            context.abort(grpc.StatusCode.UNKNOWN, f"there is no {given['name']}")
        found = {"size": len(given["name"]), "key": secret(f"key of {given['name']}")}
        return provider_pb2.InvokeResponse(**{"return": struct(found)})

    def Cancel(self, request, context):
        self.cancelled.set()
        return empty_pb2.Empty()

    def _last(self, request: Any, context: Any, mood: str | None) -> None:
        """Take the seconds that a mood asks for; or give up when the request's are over, as plugins in Go do."""
        if mood is None or not mood.startswith("lasting "):
            return
        needed = float(mood.split()[1])
        if request.timeout and request.timeout < needed:
            self.cancelled.wait(request.timeout)
            context.abort(grpc.StatusCode.UNKNOWN, "context deadline exceeded")
        self.cancelled.wait(needed)

    def _write(self, id_: str, inputs: dict[str, Any], visits: int) -> dict[str, Any]:
        self.folder.mkdir(exist_ok=True)
        (self.folder / id_).write_text(json.dumps({"inputs": inputs, "visits": visits}))
        outputs = {name: value for name, value in inputs.items() if name != "password"}
        if "password" in inputs:
            outputs["password"] = secret(inputs["password"])
        if inputs.get("code", {}).get(SIGNATURE):
            outputs["code"] = inputs["code"]
        made = {"accessKey": secret(f"key of {id_}"), "address": f"{id_}.example.com"}
        return {**outputs, **made, "updatedAt": str(visits)}

    def _note(self, method: str, *what: Any) -> None:
        """Keep what was asked, for tests to look at."""
        if self.folder != Path():
            with (self.folder.parent / "calls.jsonl").open("a") as file:
                file.write(json.dumps([method, *what]) + "\n")


PLUGIN = Acme()
