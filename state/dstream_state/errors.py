"""The errors of state, each with a message that a user can act on.

Every error is a `StateError`: `summary` is constant for its kind; `detail` says what, why and how to fix it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dstream_state.holder import Holder


class StateError(Exception):
    """Base of all errors of this package; `str()` is the summary and the detail, ready for the user."""

    summary = "Unusable state"

    def __init__(self, detail: str) -> None:
        """Keep `detail`, one or more sentences for the user."""
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        """Return summary and detail as one text."""
        return f"{self.summary}: {self.detail}"


class StateLocked(StateError):
    """Another process holds the lock; `holder` is the last one recorded, None if none was recorded."""

    summary = "State locked"

    def __init__(self, holder: Holder | None, what: str = "The state", hint: str | None = None) -> None:
        """Say who holds `what`; `hint` replaces the advice on how to continue."""
        self.holder = holder
        who = f"{what} is held by {holder.describe()}" if holder else f"{what} is held by another process"
        unlock = f"`dstream force-unlock{f' {holder.id}' if holder else ''}`"
        advice = hint or f"Wait for it with -lock-timeout=5m; if that process no longer exists, run: {unlock}."
        super().__init__(f"{who}. {advice}")


class LeaseLost(StateError):
    """This process no longer holds the lock, or cannot be sure that it does."""

    summary = "Lost state lock"


class StateConflict(StateError):
    """The state was changed by another process since it was read."""

    summary = "State changed by another process"


class StateUnavailable(StateError):
    """The backend does not answer, or refuses access."""

    summary = "Unreachable state"


class KeyUnavailable(StateUnavailable):
    """The service that has the key of an encrypted state does not answer, or refuses access."""

    summary = "Unusable state key"


class StateDamaged(StateError):
    """The stored content is not valid; `reason` says why."""

    summary = "Damaged state"

    def __init__(self, what: str, why: str) -> None:
        """Take the stored item and the reason."""
        self.reason = why
        super().__init__(
            f"{what} cannot be read ({why}). To see what can be recovered, run: dstream state repair. "
            "`dstream state history` lists earlier snapshots, `dstream state restore` restores one."
        )


class StateMismatch(StateError):
    """The stored content is valid, and is not what was written last; `reason` names the difference."""

    summary = "State metadata mismatch"

    def __init__(self, why: str) -> None:
        """Take what does not match, as a sentence without its full stop."""
        self.reason = why
        super().__init__(
            f"{why}. Nothing was changed: with this state, objects that exist would be created again. To see what can "
            "be recovered, run: dstream state repair. `dstream state history` lists earlier snapshots, `dstream state "
            "restore` restores one."
        )


class StateMoved(StateError):
    """The state was moved to another place, and the one that is left is not used any more."""

    summary = "Moved state"

    def __init__(self, place: str) -> None:
        """Take where it was moved to."""
        super().__init__(
            f"The state was moved from here to {place}. Change the backend block to that place and run: dstream init "
            "-reconfigure. To move it back, run `dstream init -migrate-state` where the new place is in use."
        )


class FormatTooNew(StateError):
    """The state was written by a newer version of this program."""

    summary = "State from a newer dstream version"

    def __init__(self, what: str, found: object, known: int) -> None:
        """Take the stored item, its format version and the newest supported one."""
        super().__init__(
            f"{what} has format version {found}; this version of dstream supports up to {known}. Upgrade dstream."
        )


class JournalMismatch(StateError):
    """A journal belongs to another state than the one it is listed in; it is never replayed."""

    summary = "Foreign journal"

    def __init__(self, journal: str, why: str) -> None:
        """Take the journal and the reason."""
        super().__init__(
            f"Journal {journal} was not replayed: {why}. This happens when the state was replaced by hand "
            "while an apply was unfinished. `dstream state history` lists earlier snapshots. `dstream state "
            "restore` and `dstream state push -force` set the journal aside."
        )


class WrongKey(StateError):
    """The state is encrypted and none of the given keys opens it; nothing was written."""

    summary = "State decryption failure"


class EncryptionRequired(StateError):
    """The operation requires an encrypted state."""

    summary = "Unencrypted state"


class SettingsError(StateError):
    """A backend or encryption setting is missing, unknown or wrong."""

    summary = "Invalid state settings"
