"""Types on demand: the resource types of a provider that has too many of them for the answer to its probe.

A provider with the capability `describes` receives its configuration and the names of the types in use (command
`schema`), and returns what the probe would return for these types. Which types there are may depend on the
configuration.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dstream.diagnostics import DiagnosticsError
from dstream.plugins.binary import Binary
from dstream.plugins.errors import died, failure, garbage, hung
from dstream.plugins.one_shot import converse
from dstream.plugins.process import begin_binary
from dstream.plugins.redact import Redactor
from dstream.plugins.schema import ResourceSchema, parse_schema
from dstream.plugins.wire import PROTOCOL, complaints, decode_object, encode

DESCRIBES = "describes"
"""The capability."""
DESCRIBE_SECONDS = 120.0
"""The first time, a provider may have to read a description of many megabytes."""
_WAITING = 'the answer to "schema"'


class DescribedTypes(Mapping[str, ResourceSchema]):
    """The types of one provider configuration by name; one that is not known yet is requested when it is looked up.

    Iteration yields the types that are known so far. Any thread may look types up.
    """

    def __init__(
        self,
        binary: Binary,
        known: Mapping[str, ResourceSchema],
        config_json: Mapping[str, Any],
        *,
        redact: Iterable[str] = (),
        timeout: float = DESCRIBE_SECONDS,
    ) -> None:
        """`known` is the probe's answer; the configuration may have `{"$unknown":true}`."""
        self._binary, self._config, self._timeout = binary, config_json, timeout
        self._redactor = Redactor(redact)
        self._known: dict[str, ResourceSchema | None] = dict(known)
        self._lock = threading.Lock()

    def fetch(self, types: Iterable[str]) -> None:
        """Request several types together; raise DiagnosticsError if the provider cannot say."""
        with self._lock:
            missing = sorted(set(types) - self._known.keys())
            if missing:
                found = self._ask(missing)
                self._known.update({name: found.get(name) for name in missing})

    def known(self, name: str) -> ResourceSchema | None:
        """Return a type if it is known, without a request."""
        return self._known.get(name)

    def __getitem__(self, name: str) -> ResourceSchema:
        """Return a type; KeyError if the provider has none of that name."""
        if name not in self._known:
            self.fetch([name])
        found = self._known[name]
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        """Yield the names known so far."""
        return iter([name for name, found in list(self._known.items()) if found is not None])

    def __len__(self) -> int:
        """Return how many are known so far."""
        return sum(1 for _ in self)

    def _ask(self, types: list[str]) -> dict[str, ResourceSchema]:
        opening = {"command": "schema", "protocol": PROTOCOL, "role": "resource", "config": self._config}
        process = begin_binary(self._binary).result()
        name = self._binary.name
        conversation = converse(
            process, encode({**opening, "types": types}), timeout=self._timeout, redactor=self._redactor
        )
        if conversation.timed_out:
            raise hung(name, _WAITING, self._timeout, conversation.rest, self._redactor, conversation.tail)
        line = conversation.lines[0] if conversation.lines else conversation.rest
        form = decode_object(line)
        if form is None:
            if line:
                raise garbage(name, _WAITING, line, self._redactor, conversation.tail)
            raise died(name, _WAITING, conversation.exit_code, conversation.rest, self._redactor, conversation.tail)
        if form.get("status") == "error":
            raise DiagnosticsError([each.diagnostic for each in complaints(form, self._redactor, name)])
        resources = form.get("resources")
        if form.get("status") != "done" or not isinstance(resources, dict):
            raise garbage(name, _WAITING, line, self._redactor, conversation.tail)
        try:
            return {type_: parse_schema(type_, each) for type_, each in resources.items() if isinstance(each, dict)}
        except (ValueError, TypeError, AttributeError) as problem:
            raise DiagnosticsError(failure("Malformed provider description", f"{name}: {problem}")) from problem


def fetch(types: Mapping[str, ResourceSchema], names: Iterable[str]) -> None:
    """Request types together that would be requested one by one, where that saves a process."""
    if isinstance(types, DescribedTypes):
        types.fetch(names)
