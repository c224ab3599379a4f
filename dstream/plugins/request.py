"""Request, Answer: a request about an object, and the answer of its provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct, field

from dstream.diagnostics import Diagnostic, Severity
from dstream.lang import from_json_value
from dstream.plugins.assessment import numbers_of
from dstream.plugins.errors import failure
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import ErrorClass, complaints

Command = Literal["plan", "init", "status", "destroy", "import", "find", "upgrade", "contents"]
Status = Literal["ok", "gone", "error", "progress"]


class Request(Struct, frozen=True):
    """One request about one object, or `status` about many (`objects`, capability `bulk_status`)."""

    command: Command
    type: str = ""
    key: str = ""
    identity: Any = None
    desired: Any = None
    prior: Any = None
    """What was recorded last; None with `init` means create."""
    private: Any = None
    intent: str | None = None
    timeout: float | None = None
    """Seconds; the provider is given 30 more before it is stopped."""
    version: int | None = None
    """With `upgrade`: the schema version of `prior`."""
    objects: Sequence[Mapping[str, Any]] | None = None
    """Objects with members type, key, identity, prior and private."""
    sensitive: Sequence[Sequence[str | int]] | None = None
    """Places in `desired` whose values are secret: a provider that keeps notes of its own leaves them out."""


class Answer(Struct, frozen=True):
    """The outcome of a request. An error with an identity means that the object exists."""

    status: Status
    identity: Any = None
    attributes: Mapping[str, Any] | None = None
    """Values of the language; what the provider withholds is `{"$withheld": true}`."""
    private: Any = None
    replace: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    error_class: ErrorClass | None = None
    retry_after: float | None = None
    crashed: bool = False
    """The process ended without answering: the outcome of the request is not known."""
    late: bool = False
    """Whether the request's timeout was over by then."""
    sent: bool = True
    """Whether the request reached the process at all."""
    understood: bool = True
    """False: the answer breaks the protocol, so that the outcome of the request is unknown."""
    objects: tuple[Answer, ...] | None = None
    contents: Mapping[str, float] = field(default_factory=dict)
    """What the object holds, by unit: messages, rows, bytes."""
    text: str = field(default="")
    """A version 1 provider's message to the user, or a progress message."""


def write_request(number: int, request: Request) -> dict[str, Any]:
    """Return a request as it travels; members that say nothing are left out."""
    form: dict[str, Any] = {"id": number, "command": request.command}
    members = ("type", "key", "identity", "desired", "prior", "private", "intent", "timeout", "version", "sensitive")
    for member in members:
        value = getattr(request, member)
        if value is not None and value != "":
            form[member] = value
    if request.objects is not None:
        form["objects"] = [
            {name: value for name, value in each.items() if value is not None and value != ""}
            for each in request.objects
        ]
    return form


def parse_answer(form: Mapping[str, Any], redactor: Redactor, provider: str) -> Answer:
    """Return the answer in `form`; one that breaks the protocol becomes an error that is not `understood`."""
    status = form.get("status")
    if status not in ("ok", "gone", "error", "progress"):
        shown = redactor.text(repr(status))
        return broken(f"{provider} answered with status {shown}; known are ok, gone, error and progress.")
    for member, kind, what in (
        ("attributes", dict, "object"),
        ("diagnostics", list, "list"),
        ("objects", list, "list"),
    ):
        value = form.get(member)
        if value is not None and not isinstance(value, kind):
            return broken(f"{provider} answered with {member} of the type {type(value).__name__}, not a JSON {what}.")
    try:
        contents = numbers_of(form["contents"]) if isinstance(form.get("contents"), dict) else {}
    except ValueError as problem:
        return broken(f"{provider} answered with contents that are not well formed: {problem}.")
    if status == "ok" and not form.keys() - _PLAIN:
        # Nothing but the object: most answers are this, and there may be a great many.
        return Answer(status, form.get("identity"), _attributes(form), form.get("private"))
    found = complaints(form, redactor, provider)
    worst = next((each for each in found if each.diagnostic.severity is Severity.ERROR), None)
    objects = form.get("objects")
    replace = form.get("replace")
    retry = worst.retry_after if worst is not None else None
    if retry is None and isinstance(form.get("retry_after"), int | Decimal):
        retry = float(form["retry_after"])
    return Answer(
        status,
        identity=form.get("identity"),
        attributes=_attributes(form),
        private=form.get("private"),
        replace=tuple(str(each) for each in replace) if isinstance(replace, list) else (),
        diagnostics=tuple(each.diagnostic for each in found),
        error_class=_class(form, worst.error_class if worst is not None else None) if status == "error" else None,
        retry_after=retry,
        objects=tuple(parse_answer(each if isinstance(each, dict) else {}, redactor, provider) for each in objects)
        if isinstance(objects, list)
        else None,
        contents=contents,
        text=redactor.text(str(form.get("message") or "")),
    )


def broken(detail: str) -> Answer:
    """Return the answer that stands for one which breaks the protocol."""
    problem = failure("Provider protocol violation", detail)
    return Answer("error", diagnostics=(problem,), error_class="fatal", understood=False)


_PLAIN = frozenset({"id", "status", "identity", "attributes", "private"})


def _attributes(form: Mapping[str, Any]) -> dict[str, Any] | None:
    attributes = form.get("attributes")
    return from_json_value(attributes) if isinstance(attributes, dict) else None


def _class(form: Mapping[str, Any], of_diagnostic: ErrorClass | None) -> ErrorClass:
    if of_diagnostic is not None:
        return of_diagnostic
    known: tuple[ErrorClass, ...] = ("retriable", "invalid", "conflict", "denied", "fatal")
    return next((each for each in known if each == form.get("class")), "fatal")
