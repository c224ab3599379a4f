"""What can go wrong with state, each with a message that a user can act on.

Every error is a `StateError`: `summary` is constant for its kind, `detail` says what, why and how to mend it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dstream_state.holder import Holder


class StateError(Exception):
    """Base of all errors of this package; `str()` is the summary and the detail, ready for the user."""

    summary = "The state cannot be used"

    def __init__(self, detail: str) -> None:
        """Keep `detail`, one or more sentences for the user."""
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        """Return summary and detail as one text."""
        return f"{self.summary}: {self.detail}"


class StateLocked(StateError):
    """Somebody else holds the lock; `holder` is who wrote their name last, None if nobody did yet."""

    summary = "The state is locked"

    def __init__(self, holder: Holder | None, what: str = "The state", hint: str | None = None) -> None:
        """Say who holds `what`; `hint` replaces the advice on how to go on."""
        self.holder = holder
        who = f"{what} is held by {holder.describe()}" if holder else f"{what} is held by another process"
        unlock = f"`dstream force-unlock{f' {holder.id}' if holder else ''}`"
        advice = hint or f"Wait for it with -lock-timeout=5m; if that process is gone for good: {unlock}."
        super().__init__(f"{who}. {advice}")


class LeaseLost(StateError):
    """This process no longer owns the lock, or can no longer be sure that it does."""

    summary = "The lock was lost"


class StateConflict(StateError):
    """The state was changed by another process since it was read."""

    summary = "The state was changed by another process"


class StateUnavailable(StateError):
    """The place where the state lives does not answer, or refuses."""

    summary = "The state cannot be reached"


class KeyUnavailable(StateUnavailable):
    """The place that has the key of an encrypted state does not answer, or refuses."""

    summary = "The key of the state cannot be used"


class StateDamaged(StateError):
    """What is stored is not what this program writes."""

    summary = "The state is damaged"

    def __init__(self, what: str, why: str) -> None:
        """Name the stored thing and what is wrong with it."""
        super().__init__(
            f"{what} cannot be read ({why}). `dstream state history` lists earlier snapshots, "
            "`dstream state restore` brings one back."
        )


class FormatTooNew(StateError):
    """The state was written by a newer version of this program."""

    summary = "The state was written by a newer version of dstream"

    def __init__(self, what: str, found: object, known: int) -> None:
        """Name the stored thing, the version that it has and the newest one that is known here."""
        super().__init__(
            f"{what} has format version {found}; this dstream knows versions up to {known}. Upgrade dstream."
        )


class JournalMismatch(StateError):
    """A journal belongs to another state than the one it is listed in; it is never replayed."""

    summary = "A journal does not belong to this state"

    def __init__(self, journal: str, why: str) -> None:
        """Name the journal and say what does not fit."""
        super().__init__(
            f"journal {journal} was not replayed: {why}. This happens when the state was replaced by hand "
            "while an apply was unfinished. `dstream state history` lists what can be restored; `dstream state "
            "restore` sets the journal aside, and so does `dstream state push -force`."
        )


class WrongKey(StateError):
    """The state is encrypted and none of the given keys opens it; nothing was written."""

    summary = "The state cannot be decrypted"


class EncryptionRequired(StateError):
    """Encryption is needed for what was asked, and is not there."""

    summary = "The state is not encrypted"


class SettingsError(StateError):
    """A backend or encryption setting is missing, unknown or wrong."""

    summary = "Invalid state settings"
