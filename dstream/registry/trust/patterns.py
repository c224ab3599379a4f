"""Patterns of trust blocks: exact texts, in which `*` stands for any characters."""

from __future__ import annotations

import re

_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_IN_HOST, _IN_PART = re.compile(r"[a-z0-9.:*\[\]-]+"), re.compile(r"[a-z0-9._*-]+")


def matches_pattern(pattern: str, text: str) -> bool:
    """Return whether a text is what a pattern says; only `*` has a meaning."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


def covers(pattern: str, other: str) -> bool:
    """Return whether everything that `other` matches is matched by `pattern`."""
    return matches_pattern(pattern, other)  # a `*` of the other one is matched by nothing but a `*`


def repository_pattern_problem(pattern: str) -> str | None:
    """Return why a pattern matches no repository (REGISTRY/REPOSITORY), or None if it may match one."""
    if not pattern or pattern != pattern.strip():
        return "it is empty, or has spaces around it"
    if "://" in pattern:
        return f"a repository has no scheme; write {pattern.partition('://')[2]}"
    if pattern != pattern.lower():
        return f"repositories are in lower case; write {pattern.lower()}"
    if "@" in pattern:
        return f"a repository has no digest; write {pattern.partition('@')[0]}"
    host, slash, path = pattern.partition("/")
    if not slash:
        if _IN_HOST.fullmatch(host) and host.endswith("*") and ":" not in host:
            return None  # the star stands for a slash, too
        return f"it names a registry and no repository; write {host.partition(':')[0] or 'HOST'}/*"
    if ":" in path:
        return f"a repository has no tag, and a block applies to all of them; write {host}/{path.partition(':')[0]}"
    if not (_IN_HOST.fullmatch(host) and ("*" in host or _HOST.fullmatch(host))):
        return f"{host!r} is not a registry"
    if not ("*" in host or set(".:[") & set(host) or host == "localhost"):
        return f"{host!r} is not a registry: write the host first, such as docker.io/{pattern}"
    for part in path.split("/"):
        if not (_IN_PART.fullmatch(part) and ("*" in part or _PART.fullmatch(part))):
            return f"{part!r} is not part of a repository"
    return None
