"""Functions: evaluates the function calls of a program, by the author's functions or by the plugin.

Pulumi's SDK does not make calls with unknown arguments, and in the output form no calls that depend on a resource of
the program. So every call is about objects that exist before the plan.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dstream_pulumi.plugin import Plugin
from dstream_pulumi.private_state import texts_at, unwrap_secrets
from dstream_pulumi.struct_values import from_struct, to_struct
from dstream_sdk import InvalidError, ProviderError

if TYPE_CHECKING:
    from dstream_pulumi.plugin_instance import PluginInstance

Invokes = Mapping[str, Callable[[dict[str, Any]], Mapping[str, Any]]]
Settings = Mapping[str, Mapping[str, Any]]
_SECONDS = 300.0
"""Timeout of a call, in seconds."""


class Functions:
    """The functions that a program can call. Safe for concurrent use."""

    def __init__(self, invokes: Invokes, plugins: Mapping[str, Plugin], settings: Settings | None) -> None:
        """Take the author's functions by token, the plugins, and their settings. With None, plugins are not called."""
        self._invokes, self._plugins, self._settings = invokes, plugins, settings
        self._lock = threading.Lock()
        self._instance: dict[str, PluginInstance] = {}
        self.secrets: set[str] = set()
        """Secret strings in the results. In the plain form of a call, the SDK drops the secret markers."""

    def needs_plugin(self, token: str) -> bool:
        """Return whether a plugin evaluates a function. Raises InvalidError if neither plugin nor author does."""
        if token in self._invokes:
            return False
        if self._settings is not None and self._plugins:
            return True
        package = token.partition(":")[0]
        raise InvalidError(
            "Pulumi program calls a function",
            f"It calls {token}, which is not available. To call the plugin: collect(..., plugins=[...], "
            f'settings={{"{package}": {{...}}}}); to supply the result: collect(..., invokes={{"{token}": lambda '
            "arguments: {...}}).",
        )

    def answer(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the result of a call, with secret markers. Raises ProviderError."""
        own = self._invokes.get(token)
        found = own(dict(arguments)) if own is not None else self._by_plugin(token, arguments)
        plain, marked = unwrap_secrets(found)
        self.secrets.update(texts_at(plain, marked))
        if _lists_secrets(token):
            self.secrets.update(set(texts_at(plain, [()])) - set(texts_at(arguments, [()])))
        return found

    def close(self) -> None:
        """Stop the plugins."""
        for running in self._instance.values():
            running.close()

    def _by_plugin(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        client = self._plugin(token.partition(":")[0]).client()
        try:
            answer = client.call(
                "Invoke",
                client.messages.InvokeRequest(tok=token, args=to_struct(arguments)),
                f"the function {token}",
                timeout=_SECONDS,
            )
        except ProviderError as problem:
            raise type(problem)(
                problem.summary,
                f"{problem.detail}. Functions are called during the plan. If this call is about a resource of the "
                "program, use the form with _output: it is not called, and its result is unknown.",
            ) from problem
        if answer.failures:
            reasons = "; ".join(
                f"{each.property}: {each.reason}" if each.property else each.reason for each in answer.failures
            )
            raise InvalidError("Function rejected its arguments", f"{token}: {reasons}")
        return from_struct(getattr(answer, "return"))

    def _plugin(self, package: str) -> PluginInstance:
        from dstream_pulumi.plugin_instance import PluginInstance

        with self._lock:
            if package not in self._instance:
                settings = (self._settings or {}).get(package, {})
                self._instance[package] = PluginInstance(self._plugins[package], settings)
            return self._instance[package]


def _lists_secrets(token: str) -> bool:
    """Return whether a function returns unmarked secrets, as the `list` actions of Azure Resource Manager do."""
    package, _, rest = token.partition(":")
    return package == "azure-native" and rest.rpartition(":")[2].startswith("list")
