"""The errors a provider raises, sorted by what the host may do about them.

ProviderError            fatal: nobody but the user can mend it
  RetriableError         the same request may succeed later (throttled, not reachable)
  InvalidError           the configuration or the desired attributes are wrong
  ConflictError          somebody else changed or holds the object
  DeniedError            the credentials do not allow it
Stopped                  the session is stopping: a normal end
Deferred                 a plan needs a value that is known only after apply
HostGone                 the host has closed the pipe; raised out of `emit`, handled by the SDK

Raised while data flows, Retriable is started again for as long as it takes; Invalid, Conflict and Denied end the run at
once; a plain ProviderError is tried again a few times, from right before the record that may be what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from dstream_sdk.model import Object


class ProviderError(Exception):
    """What went wrong (a constant summary) and how to mend it (the detail).

    `path` is a place in the configuration, such as `config.tables[0]`. `object` is given when the request
    failed although the object exists: the host records it as tainted instead of forgetting it.
    `retry_after` is in seconds.
    """

    error_class: ClassVar[str] = "fatal"

    def __init__(
        self,
        summary: str,
        detail: str = "",
        *,
        path: str | None = None,
        object: Object | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take the parts of a diagnostic."""
        super().__init__(f"{summary}: {detail}" if detail else summary)
        self.summary = summary
        self.detail = detail
        self.path = path
        self.object = object
        self.retry_after = retry_after

    def diagnostics(self) -> list[dict[str, Any]]:
        """Return the diagnostics of the wire that say this error."""
        out: dict[str, Any] = {
            "severity": "error",
            "summary": self.summary,
            "detail": self.detail,
            "path": self.path,
            "class": self.error_class,
        }
        if self.retry_after is not None:
            out["retry_after"] = self.retry_after
        return [out]


class RetriableError(ProviderError):
    """The same request may succeed later."""

    error_class = "retriable"


class InvalidError(ProviderError):
    """The configuration, or what is desired, is wrong."""

    error_class = "invalid"


class ConflictError(ProviderError):
    """Somebody else changed or holds the object."""

    error_class = "conflict"


class DeniedError(ProviderError):
    """The credentials do not allow it."""

    error_class = "denied"


class SettingsError(InvalidError):
    """Several settings are wrong at once; `problems` holds one error for each."""

    def __init__(self, problems: list[InvalidError]) -> None:
        """Take one error per wrong setting, at least one."""
        first = problems[0]
        super().__init__(first.summary, first.detail, path=first.path)
        self.problems = problems

    def diagnostics(self) -> list[dict[str, Any]]:
        """Return one diagnostic for each wrong setting."""
        return [found for problem in self.problems for found in problem.diagnostics()]


class Deferred(Exception):
    """The plan needs configuration values that are not known yet; `needs` names their paths."""

    def __init__(self, *needs: str) -> None:
        """Take the paths that are needed, such as `config.connection_string`."""
        super().__init__("known only after apply: " + ", ".join(needs))
        self.needs = needs


class Stopped(Exception):
    """The session is stopping; raised out of a call that waits, and a normal end when it leaves `run`."""


class HostGone(Exception):
    """The host no longer reads what this provider writes."""


class SaidAll(HostGone):
    """This provider has written its last line, and the host ends the session; raised out of `discover`."""
