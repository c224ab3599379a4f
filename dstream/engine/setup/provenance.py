"""Provenance: who operates, from which commit, in which run of a pipeline; as the environment says.

These are statements for people who read the history, not proofs: whoever applies can set them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LONGEST = 300


class Provenance(Struct, frozen=True):
    """Who and from what; None for what is not known."""

    actor: str | None = None
    approved_by: str | None = None
    commit: str | None = None
    run: str | None = None
    """The address of the run in the pipeline's service."""


def provenance(environment: Mapping[str, str], root: Path) -> Provenance:
    """Return what GitHub, Gitea, GitLab or Azure Pipelines say of this run, otherwise the commit of the checkout."""

    def first(*names: str) -> str | None:
        found = next((environment[name] for name in names if environment.get(name)), None)
        return None if found is None else found[:_LONGEST]

    commit = first("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION")
    return Provenance(
        first("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR"),
        first("DSTREAM_APPROVED_BY"),
        commit if commit and _COMMIT.fullmatch(commit) else checkout_commit(root),
        _run(environment),
    )


def _run(environment: Mapping[str, str]) -> str | None:
    if all(environment.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")):
        place = f"{environment['GITHUB_SERVER_URL']}/{environment['GITHUB_REPOSITORY']}"
        return f"{place}/actions/runs/{environment['GITHUB_RUN_ID']}"[:_LONGEST]
    if environment.get("CI_JOB_URL"):
        return environment["CI_JOB_URL"][:_LONGEST]
    if all(environment.get(name) for name in ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_BUILDID")):
        place = f"{environment['SYSTEM_COLLECTIONURI']}{environment['SYSTEM_TEAMPROJECT']}"
        return f"{place}/_build/results?buildId={environment['BUILD_BUILDID']}"[:_LONGEST]
    return None


def checkout_commit(root: Path) -> str | None:
    """Return the commit that the checkout around `root` is at, from Git's files; no program is started."""
    try:
        for folder in (root, *root.parents):
            git = folder / ".git"
            if git.is_file():  # a work tree or a submodule: `gitdir: PATH`
                git = folder / git.read_text("utf-8").partition("gitdir:")[2].strip()
            if git.is_dir():
                return _head(git)
    except (OSError, UnicodeDecodeError):
        return None
    return None


def _head(git: Path) -> str | None:
    head = (git / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else None
    name = head.removeprefix("ref:").strip()
    shared = git / (git / "commondir").read_text("utf-8").strip() if (git / "commondir").is_file() else git
    for place in (git, shared):
        path = place / name
        if ".." not in Path(name).parts and path.is_file():
            found = path.read_text("utf-8").strip()
            return found if _COMMIT.fullmatch(found) else None
    packed = shared / "packed-refs"
    for line in packed.read_text("utf-8").splitlines() if packed.is_file() else ():
        found, _, ref = line.partition(" ")
        if ref == name and _COMMIT.fullmatch(found):
            return found
    return None
