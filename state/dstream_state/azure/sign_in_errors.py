"""Sign-in errors: from the message of azure-identity, which has one line per credential it tried, to one sentence."""

from __future__ import annotations

import re

_LINE = re.compile(r"^\s+(?P<name>\w+Credential): (?P<text>.*)$", re.MULTILINE)
_NOT_CONFIGURED = re.compile(
    r"unavailable|not (?:found|installed|set|configured|logged in|available)|isn't installed|no accounts|"
    r"failed to invoke|not attempted|az login|missing",
    re.IGNORECASE,
)
_LONGEST = 300


def condensed(message: str) -> str:
    """Return a message of azure-identity as one sentence or two: what failed, or what to set where nothing is set."""
    tried = [(line["name"], line["text"]) for line in _LINE.finditer(message)]
    if not tried:
        return _first(message)
    failed = [(name, text) for name, text in tried if not _NOT_CONFIGURED.search(text)]
    if failed:
        name, text = failed[0]
        return f"{name}: {_first(text)}"
    names = ", ".join(name for name, _ in tried)
    return (
        f"no credential is configured (tried: {names}). Set ARM_TENANT_ID, ARM_CLIENT_ID and ARM_CLIENT_SECRET, set "
        "use_oidc or use_msi, or run: az login."
    )


def _first(text: str) -> str:
    line = text.strip().partition("\n")[0].strip()
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
