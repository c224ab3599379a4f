"""Provider answers: parses the answer to an opening line, and the last line of a provider that cannot continue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, error
from dstream.plugins.errors import excerpt
from dstream.plugins.wire import complaints
from dstream.run.checkpoint_tracker import ProtocolBroken
from dstream.run.end_reason import Failure, SessionOver
from dstream.run.provider_handle import ProviderHandle

_LASTING = frozenset({"invalid", "denied", "conflict"})
"""Classes of errors that another session would meet again."""


def check_ready(side: ProviderHandle, form: Mapping[str, Any] | None, line: bytes) -> None:
    """Check the answer of a version 2 provider to its opening line.

    Raises SessionOver if the provider refuses, ProtocolBroken if it answers with something else.
    """
    if form is not None and form.get("status") == "error":
        raise SessionOver(_refusal(side, form, final=_LASTING | {"fatal"}))
    if form is None or form.get("status") != "ready":
        what = f"answered its opening line with something else: {excerpt(line, side.redactor)}"
        raise ProtocolBroken(side.name, what)


def last_line(side: ProviderHandle, line: bytes, form: Mapping[str, Any] | None) -> Exception:
    """Return what the last line of a provider that cannot continue ends the session with.

    The cause of a `fatal` error may be the next record, or something that the next start meets: it is tried again, as
    after a crash.
    """
    if form is None or form.get("status") != "error":
        shown = excerpt(line, side.redactor)
        return ProtocolBroken(side.name, f"wrote a line that is not part of the protocol: {shown}")
    return SessionOver(_refusal(side, form, final=_LASTING))


def _refusal(side: ProviderHandle, form: Mapping[str, Any], final: frozenset[str]) -> Failure:
    """Return the failure that a provider reports; `final` are the classes that end the run.

    A retriable error is tried again for as long as it takes.
    """
    found = complaints(form, side.redactor, side.program)
    classes = {each.error_class for each in found}
    retriable = "retriable" in classes
    return Failure(
        tuple(_named(each.diagnostic, side) for each in found),
        final=bool(classes & final) and not retriable,
        counts=not retriable,
        retry_after=max(each.retry_after or 0.0 for each in found),
    )


def _named(diagnostic: Diagnostic, side: ProviderHandle) -> Diagnostic:
    """Return a diagnostic that names the provider which reported it."""
    if side.program in diagnostic.summary or side.program in diagnostic.detail:
        return diagnostic
    origin = f"Reported by the {side.name} {side.program}."
    return replace(diagnostic, detail=f"{diagnostic.detail}\n{origin}" if diagnostic.detail else origin)


def version_1_status(form: Mapping[str, Any] | None) -> str | None:
    """Return the status word of a version 1 answer in lower case, or None if the line is not an answer."""
    if form is None:
        return None
    lowered = {name.lower(): value for name, value in form.items()}
    if "data" in lowered or not isinstance(lowered.get("status"), str):
        return None
    word = str(lowered["status"]).lower()
    return word if word in ("ready", "error") else None


def version_1_refusal(side: ProviderHandle, form: Mapping[str, Any]) -> SessionOver:
    """Return the end of a session whose version 1 provider refuses to run."""
    lowered = {name.lower(): value for name, value in form.items()}
    text = side.redactor.text(str(lowered.get("message") or lowered.get("error") or "it gave no reason"))
    what = error("Provider error", f"The {side.name} {side.program} refused to run: {text}")
    return SessionOver(Failure((what,), side, final=True))
