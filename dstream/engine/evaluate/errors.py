"""Errors of evaluation that several modules report."""

from __future__ import annotations

from collections.abc import Collection

from dstream.diagnostics import Diagnostic, SourceRange, error


def unknown_target(target: str, names: Collection[str]) -> Diagnostic:
    """Return the error for an address that names nothing."""
    shown = [name for name in names if name.split(".", 1)[0] not in ("var", "local", "output", "provider")]
    import difflib

    near = difflib.get_close_matches(target, shown, n=1)
    hint = (
        f" Did you mean {near[0]}?"
        if near
        else f" There are: {', '.join(sorted(shown))}."
        if shown
        else " There are no addresses yet."
    )
    return error("Unknown address", f"Neither the configuration nor the state has {target}.{hint}")


def secret_not_kept(subject: SourceRange | None, address: str | None = None) -> Diagnostic:
    """Return the error for a reference to a secret of which an unencrypted state has only a fingerprint."""
    return error(
        "Secret not in the state",
        "It refers to an attribute with a secret in it, and a state keeps secrets only when it is encrypted: "
        'dstream { encryption { passphrase = env("NAME") } }. Then replace the object with '
        "dstream apply -replace=ADDRESS.",
        subject,
        address=address,
    )
