"""Sticky posts: one comment per pull request and project, one issue per project, updated in place.

A post is ours if we wrote it and its first line is the project's marker: others may copy the marker into their
comments, but they could edit those after the review.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

from dstream.delivery.errors import DeliveryError
from dstream.delivery.forge import Forge, Post

LIMIT = 65_536
"""Characters of a body that GitHub accepts."""


class Outcome(StrEnum):
    """The change made to a post."""

    CREATED = "created"
    UPDATED = "updated"
    CLOSED = "closed"
    UNCHANGED = "unchanged"


def stick(forge: Forge, request: int, project: str, text: str) -> Outcome:
    """Make `text` the project's comment of a pull request."""
    body = _body("plan", project, text)
    found = next((each for each in forge.comments(request) if _is_own(forge, each, "plan", project)), None)
    if found is None:
        forge.comment(request, body)
        return Outcome.CREATED
    if _same(found, body):
        return Outcome.UNCHANGED
    forge.edit_comment(request, found.number, body)
    return Outcome.UPDATED


def report(forge: Forge, project: str, title: str, text: str | None) -> Outcome:
    """Make `text` the project's open issue; None closes it."""
    found = next((each for each in forge.issues() if _is_own(forge, each, "drift", project)), None)
    if text is None:
        if found is None:
            return Outcome.UNCHANGED
        forge.close_issue(found.number)
        return Outcome.CLOSED
    body = _body("drift", project, text)
    if found is None:
        forge.open_issue(title, body)
        return Outcome.CREATED
    if _same(found, body):
        return Outcome.UNCHANGED
    forge.edit_issue(found.number, body)
    return Outcome.UPDATED


def _marker(kind: str, project: str) -> str:
    return f"<!-- dstream {kind} {hashlib.sha256(project.encode()).hexdigest()[:32]} -->"


def _body(kind: str, project: str, text: str) -> str:
    # The text is not cut: half of it may be a fence without its end, and a reviewer would not see what is missing.
    body = f"{_marker(kind, project)}\n{text.strip()}\n"
    if len(body) > LIMIT:
        raise DeliveryError(
            f"The text has {len(body)} characters, the forge accepts {LIMIT}. `-format=markdown` stays within it."
        )
    if not text.strip():
        raise DeliveryError("The text is empty: the command before this one failed.")
    return body


def _is_own(forge: Forge, post: Post, kind: str, project: str) -> bool:
    return post.author == forge.author and re.split(r"\r?\n", post.body, maxsplit=1)[0] == _marker(kind, project)


def _same(post: Post, body: str) -> bool:
    return post.body.replace("\r\n", "\n").strip() == body.strip()  # forges trim texts
