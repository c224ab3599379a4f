"""The codec of the wire: JSON Lines in UTF-8, numbers exact, and what providers say is wrong as diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from dstream.diagnostics import Diagnostic, Severity
from dstream.error_codes import FROM_PROVIDER
from dstream.plugins.redact import Redactor
from dstream_state.codec import from_text, to_text

PROTOCOL = 2
CONTROL_LIMIT = 16 * 1024 * 1024
"""A control line, an answer or an opening line is no longer than this, in bytes."""

ErrorClass = Literal["retriable", "invalid", "conflict", "denied", "fatal"]
_CLASSES: tuple[ErrorClass, ...] = ("retriable", "invalid", "conflict", "denied", "fatal")


def encode(value: object) -> bytes:
    """Return `value` as one line of compact JSON with its newline; keys keep their order."""
    return to_text(value, ascii_only=False).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes) -> Any:
    """Return the value of a line; numbers with a fraction become Decimal. Raise ValueError if it is not JSON."""
    return from_text(line.decode("utf-8", "surrogatepass"))


def decode_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object on a line, or None if there is something else. A BOM and CRLF are accepted."""
    text = line.removeprefix(b"\xef\xbb\xbf").strip()
    if not text.startswith(b"{"):
        return None
    try:
        value = decode(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class Complaint(Struct, frozen=True):
    """A diagnostic as a provider gave it: what went wrong, where in its configuration, and of what class it is."""

    diagnostic: Diagnostic
    path: str | None = None
    """Where in the configuration, such as `config.tables[0]`."""
    error_class: ErrorClass | None = None
    retry_after: float | None = None


def complaints(message: Mapping[str, Any], redactor: Redactor, provider: str) -> tuple[Complaint, ...]:
    """Return the diagnostics of an answer; an error without any gets one that says so."""
    found = message.get("diagnostics")
    out = tuple(
        _complaint(each, redactor, provider)
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, dict)
    )
    if message.get("status") == "error" and not any(each.diagnostic.severity is Severity.ERROR for each in out):
        text = redactor.text(str(message.get("message") or message.get("error") or f"{provider} gave no reason."))
        out += (Complaint(Diagnostic(Severity.ERROR, "Provider error", text)),)
    return out


def _complaint(form: Mapping[str, Any], redactor: Redactor, provider: str) -> Complaint:
    severity = Severity.WARNING if form.get("severity") == "warning" else Severity.ERROR
    summary = redactor.text(str(form.get("summary") or f"{provider} reported a problem"))
    detail = redactor.text(str(form.get("detail") or ""))
    path = form.get("path")
    path = path if isinstance(path, str) and path else None
    if path:
        detail = f"{detail}\n(at {path})" if detail else f"(at {path})"
    wait = form.get("retry_after")
    known: ErrorClass | None = next((each for each in _CLASSES if each == form.get("class")), None)
    return Complaint(
        Diagnostic(severity, summary, detail, code=FROM_PROVIDER),
        path,
        known,
        float(wait) if isinstance(wait, int | float | Decimal) and not isinstance(wait, bool) else None,
    )
