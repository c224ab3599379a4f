"""The errors that a provider raises, by what the host does about them.

ProviderError            fatal: only the user can fix it
  RetriableError         the same request may succeed later (throttled, not reachable)
  InvalidError           the configuration or the desired attributes are wrong
  ConflictError          another program changed or holds the object
  DeniedError            the credentials do not allow it
Stopped                  the session is stopping: a normal end
Deferred                 a plan needs a value that is known only after apply
HostGone                 the host has closed the pipe; raised out of `emit`, handled by the SDK

While data flows, the host restarts the session after a RetriableError as often as necessary; it ends the run after
Invalid, Conflict and Denied; and it retries a plain ProviderError a few times, from right before the record that may
have caused it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from dstream_sdk.model import Object


class ProviderError(Exception):
    """An error for the user: a constant summary, and a detail that says how to fix it.

    `path` is a place in the configuration, such as `config.tables[0]`. `object` is given when the request failed
    although the object exists: the host records it as tainted instead of forgetting it. `retry_after` is in seconds.
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
        """Return the error as diagnostics in wire form."""
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
    """The configuration or a desired attribute is wrong."""

    error_class = "invalid"


class ConflictError(ProviderError):
    """Another program changed or holds the object."""

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


def not_a_checkpoint(problem: Exception) -> InvalidError:
    """Return the error for a stored checkpoint that this input cannot parse; `problem` is what parsing it raised."""
    return InvalidError(
        "Not a checkpoint of this input",
        f"the stored checkpoint cannot be read ({type(problem).__name__}: {problem}); it may belong to another kind of "
        "input. Reset the task's checkpoint to start over.",
    )


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
    """This provider has written its last line, and the host ends the session; raised by `discover`."""
