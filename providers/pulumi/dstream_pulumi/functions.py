"""Functions: answers the function calls of a program: by its author, or by the plugin that has the function.

Pulumi's SDK makes no call whose arguments are unknown, and none in the output form that waits for a resource of the
program. What is called is therefore about things that exist before the plan.
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
    from dstream_pulumi.plugin_instance import Running

Invokes = Mapping[str, Callable[[dict[str, Any]], Mapping[str, Any]]]
Settings = Mapping[str, Mapping[str, Any]]
_SECONDS = 300.0
"""Seconds that a call may take."""


class Functions:
    """The functions that a program may call. Any thread may call them."""

    def __init__(self, invokes: Invokes, plugins: Mapping[str, Plugin], settings: Settings | None) -> None:
        """Take the author's functions by token, the plugins, and their configurations; None: plugins are not called."""
        self._invokes, self._plugins, self._settings = invokes, plugins, settings
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        self.secrets: set[str] = set()
        """Texts of answers that are secret: in the plain form of a call, the SDK drops the marks."""

    def needs_plugin(self, token: str) -> bool:
        """Return whether a plugin answers a function; raise InvalidError if nothing does."""
        if token in self._invokes:
            return False
        if self._settings is not None and self._plugins:
            return True
        package = token.partition(":")[0]
        raise InvalidError(
            "Pulumi program calls a function",
            f"It calls {token}, and nothing answers. Let its plugin answer: collect(..., plugins=[...], "
            f'settings={{"{package}": {{...}}}}); or answer yourself: collect(..., invokes={{"{token}": lambda '
            "arguments: {...}}).",
        )

    def answer(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer to a call, with marks of secrets; raise ProviderError."""
        own = self._invokes.get(token)
        found = own(dict(arguments)) if own is not None else self._by_plugin(token, arguments)
        plain, marked = unwrap_secrets(found)
        self.secrets.update(texts_at(plain, marked))
        if _lists_secrets(token):
            self.secrets.update(set(texts_at(plain, [()])) - set(texts_at(arguments, [()])))
        return found

    def close(self) -> None:
        """End the plugins."""
        for running in self._running.values():
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
                f"{problem.detail}. A plan calls functions. If it asks about what this program creates, call the "
                "form with _output: it is not called, and its answer is unknown.",
            ) from problem
        if answer.failures:
            reasons = "; ".join(
                f"{each.property}: {each.reason}" if each.property else each.reason for each in answer.failures
            )
            raise InvalidError("Function rejected its arguments", f"{token}: {reasons}")
        return from_struct(getattr(answer, "return"))

    def _plugin(self, package: str) -> Running:
        from dstream_pulumi.plugin_instance import Running

        with self._lock:
            if package not in self._running:
                settings = (self._settings or {}).get(package, {})
                self._running[package] = Running(self._plugins[package], settings)
            return self._running[package]


def _lists_secrets(token: str) -> bool:
    """Return whether a function returns keys without marking them: Azure Resource Manager's `list` actions do."""
    package, _, rest = token.partition(":")
    return package == "azure-native" and rest.rpartition(":")[2].startswith("list")
