"""Monitor: takes the place of Pulumi's engine for a program. It records resources and creates nothing.

It has the methods of the stub `pulumirpc.ResourceMonitor`, so no socket is needed. Unsupported requests are refused
here, and the first refusal becomes the error of the program.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, NoReturn

from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, resource_pb2

from dstream_pulumi.functions import Functions
from dstream_pulumi.plugin import Plugin
from dstream_pulumi.predicted_outputs import predicted_outputs
from dstream_pulumi.registrations import STACK, Registration, check_plugin
from dstream_pulumi.struct_values import from_struct, to_struct
from dstream_pulumi.timeouts import seconds_of
from dstream_sdk import InvalidError, ProviderError, log

STACK_REFERENCE = "pulumi:pulumi:StackReference"


class Monitor:
    """The part of `pulumirpc.ResourceMonitor` that programs use. Safe for concurrent use."""

    def __init__(self, project: str, stack: str, functions: Functions, plugins: Mapping[str, Plugin]) -> None:
        """Take the project and stack names of the program, its functions, and the plugins by name."""
        self._project, self._stack, self._functions, self._plugins = project, stack, functions, plugins
        self._lock = threading.Lock()
        self.registered: dict[str, Registration] = {}
        self.refusal: ProviderError | None = None
        self.failed_calls: list[ProviderError] = []
        """The errors of failed function calls."""

    # The methods have the names of the service.

    def GetDeploymentInfo(self, request: Any) -> Any:
        """Return the supported features. The SDK raises its own error for any other feature."""
        return resource_pb2.DeploymentInfo(
            project=self._project,
            stack=self._stack,
            dryRun=True,
            supportedFeatures=[
                resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
                resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
                resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
            ],
        )

    def RegisterResource(self, request: Any) -> Any:
        """Record a resource. Its outputs are its inputs and the predicted outputs; all others are unknown."""
        parent = request.parent.split("::")[2] if request.parent else ""
        chain = request.type if parent in ("", STACK) else f"{parent}${request.type}"
        found = Registration(f"urn:pulumi:{self._stack}::{self._project}::{chain}::{request.name}", request)
        self._refuse_options(found)
        with self._lock:
            if found.urn in self.registered:
                self._refuse(
                    "Pulumi program names two resources alike",
                    f"{found} is declared twice. Names distinguish resources of one type and one kind of parent.",
                )
            self.registered[found.urn] = found
        inputs = from_struct(request.object)
        outputs = to_struct({**inputs, **predicted_outputs(request.type, inputs)})
        return resource_pb2.RegisterResourceResponse(urn=found.urn, object=outputs)

    def RegisterResourceOutputs(self, request: Any) -> Empty:
        """Ignore the outputs of components and of the program."""
        return Empty()

    def SignalAndWaitForShutdown(self, request: Any) -> Empty:
        """Allow the program to end."""
        return Empty()

    def Invoke(self, request: Any) -> Any:
        """Evaluate a function call."""
        try:
            if self._functions.needs_plugin(request.tok):
                self._check_provider(request)
        except InvalidError as refusal:
            self.refusal = self.refusal or refusal
            raise
        response = resource_pb2.ResourceInvokeResponse()
        try:
            answer = self._functions.answer(request.tok, from_struct(request.args))
        except ProviderError as problem:  # the SDK raises it in the program, which may handle it
            self.failed_calls.append(problem)
            response.failures.add(reason=problem.detail)
            return response
        getattr(response, "return").CopyFrom(to_struct(answer))
        return response

    def _check_provider(self, request: Any) -> None:
        """Raise InvalidError for a call with another provider or version than the given plugin's."""
        explicit = self.registered.get(request.provider.rpartition("::")[0])
        check_plugin(f"The function {request.tok}", request.tok, request.version, explicit, self._plugins)

    def ReadResource(self, request: Any) -> NoReturn:
        """Refuse `.get()` and stack references."""
        if request.type == STACK_REFERENCE:
            self._refuse(
                "Pulumi program reads another stack",
                f"It has a StackReference {request.name!r}, and dstream has no stacks. "
                "Pass the values as settings of the provider.",
            )
        self._refuse(
            "Pulumi program reads an existing resource",
            f"It gets {request.type} {request.name!r}, and a plan cannot read existing resources. "
            "Write the values that it uses, or pass them as settings of the provider.",
        )

    def Call(self, request: Any) -> NoReturn:
        """Refuse method calls on resources."""
        self._refuse("Pulumi program calls a method", f"It calls {request.tok}, which only Pulumi's engine supports.")

    def __getattr__(self, name: str) -> Any:
        """Refuse every other method of the service."""
        if not name[:1].isupper():
            raise AttributeError(name)
        return lambda _request: self._refuse("Pulumi program uses an unsupported feature", f"It uses {name}.")

    def _refuse_options(self, found: Registration) -> None:
        request = found.request
        if request.HasField("customTimeouts"):
            self._check_timeouts(found)
        if request.remote:
            self._refuse(
                "Pulumi program uses a remote component",
                f"{found} is a component that a plugin would expand. Write its resources in the program.",
            )
        refused = {
            "retain_on_delete": request.retainOnDelete,
            "import_": request.importId,
            "replacement_trigger": request.HasField("replacement_trigger"),
            "replace_with": request.replace_with,
            "hooks": request.hooks.ByteSize(),
        }
        for name, used in refused.items():
            if used:
                self._refuse("Pulumi program uses an unsupported option", f"{found}: {name}. {_INSTEAD[name]}")

    def _check_timeouts(self, found: Registration) -> None:
        if not found.is_object:
            log(f"{found}: custom_timeouts have no effect, because no plugin creates it; set them on its resources")
            return
        try:
            seconds_of(found.request.customTimeouts)
        except ValueError as problem:
            self._refuse("Pulumi program has a wrong timeout", f"{found}: custom_timeouts: {problem}.")

    def _refuse(self, summary: str, detail: str) -> NoReturn:
        refusal = InvalidError(summary, detail)
        self.refusal = self.refusal or refusal
        raise refusal


_INSTEAD = {
    "retain_on_delete": "A `removed` block of the configuration forgets an object without deleting it.",
    "import_": "An `import` block of the configuration, or dstream import, imports an object.",
    "replacement_trigger": "dstream plan -replace=ADDRESS replaces an object.",
    "replace_with": "dstream plan -replace=ADDRESS replaces an object.",
    "hooks": "The program does not run while its resources are created.",
}


class ProgramLog:
    """The part of `pulumirpc.Engine` that programs use: it logs their messages."""

    def Log(self, request: Any) -> Empty:
        """Log a message, unless it is for debugging."""
        if request.severity != engine_pb2.DEBUG:
            log(request.message.rstrip())
        return Empty()

    def RequirePulumiVersion(self, request: Any) -> Any:
        """Accept any required version of Pulumi's CLI, which is not used."""
        return engine_pb2.RequirePulumiVersionResponse()
