"""Forges: comments of a pull request and issues, in the terms of GitHub, Gitea and Forgejo, and of GitLab."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from dstream.delivery.errors import DeliveryError
from dstream.delivery.http import Http


class Post(Struct, frozen=True):
    """A comment or an issue."""

    number: int
    author: str
    body: str
    title: str = ""


class Forge(Struct, frozen=True):
    """One repository of a forge, and the name that it shows for us."""

    http: Http
    repository: str
    """The path of the repository below the interface, such as /repos/acme/flows."""
    gitlab: bool
    author: str

    def comments(self, request: int) -> Iterator[Post]:
        """Yield the comments of a pull request, the oldest first."""
        path = (
            f"/merge_requests/{request}/notes?sort=asc&order_by=created_at&"
            if self.gitlab
            else (f"/issues/{request}/comments?")
        )
        return (_post(form, "id") for form in self.http.pages(f"{self.repository}{path}per_page=100"))

    def comment(self, request: int, body: str) -> None:
        """Add a comment to a pull request."""
        path = f"/merge_requests/{request}/notes" if self.gitlab else f"/issues/{request}/comments"
        self._check_author(self.http.change("POST", self.repository + path, {"body": body}))

    def edit_comment(self, request: int, number: int, body: str) -> None:
        """Replace the text of a comment."""
        if self.gitlab:
            self.http.change("PUT", f"{self.repository}/merge_requests/{request}/notes/{number}", {"body": body})
        else:
            self.http.change("PATCH", f"{self.repository}/issues/comments/{number}", {"body": body})

    def issues(self) -> Iterator[Post]:
        """Yield the open issues."""
        state = "opened" if self.gitlab else "open"
        for form in self.http.pages(f"{self.repository}/issues?state={state}&per_page=100"):
            if form.get("pull_request") is None:  # GitHub and Gitea list pull requests as issues
                yield _post(form, "iid" if self.gitlab else "number")

    def open_issue(self, title: str, body: str) -> None:
        """Open an issue."""
        self._check_author(self.http.change("POST", f"{self.repository}/issues", {"title": title, self._text: body}))

    def edit_issue(self, number: int, body: str) -> None:
        """Replace the text of an issue."""
        self._change_issue(number, {self._text: body})

    def close_issue(self, number: int) -> None:
        """Close an issue."""
        self._change_issue(number, {"state_event": "close"} if self.gitlab else {"state": "closed"})

    def _check_author(self, form: Mapping[str, Any]) -> None:
        """Raise DeliveryError under an unexpected name, by which later runs cannot find the post."""
        author = _post(form, "id").author
        if author != self.author:
            raise DeliveryError(
                f"The forge shows {author!r} as the author, not {self.author!r}. Set DSTREAM_CI_AUTHOR={author} in the "
                "pipeline, and delete what was just written."
            )

    @property
    def _text(self) -> str:
        return "description" if self.gitlab else "body"

    def _change_issue(self, number: int, change: Mapping[str, Any]) -> None:
        self.http.change("PUT" if self.gitlab else "PATCH", f"{self.repository}/issues/{number}", change)


def _post(form: Mapping[str, Any], number: str) -> Post:
    author = form.get("user") or form.get("author") or {}
    text = form.get("body") or form.get("description") or ""
    name = author.get("login") or author.get("username") or ""
    return Post(form[number], name, text, form.get("title") or "")


def forge(environment: Mapping[str, str]) -> Forge:
    """Return the forge whose pipeline this is; raise DeliveryError where a variable is missing."""

    def needed(name: str) -> str:
        if not environment.get(name):
            raise DeliveryError(f"The environment variable {name} is not set.")
        return environment[name]

    if environment.get("GITLAB_CI"):
        # The token of a job, CI_JOB_TOKEN, may not write notes or issues.
        http = Http(needed("CI_API_V4_URL"), {"PRIVATE-TOKEN": needed("GITLAB_TOKEN")})
        return Forge(
            http, f"/projects/{quote(needed('CI_PROJECT_ID'), safe='')}", True, _own_name(http, "username", None)
        )
    http = Http(
        environment.get("GITHUB_API_URL") or "https://api.github.com",
        {"Authorization": f"Bearer {needed('GITHUB_TOKEN')}", "Accept": "application/vnd.github+json"},
    )
    # The token of a GitHub App, as that of a job, may not read its own user.
    other = environment.get("DSTREAM_CI_AUTHOR") or (
        "gitea-actions" if environment.get("GITEA_ACTIONS") else "github-actions[bot]"
    )
    return Forge(http, f"/repos/{quote(needed('GITHUB_REPOSITORY'))}", False, _own_name(http, "login", other))


def _own_name(http: Http, name: str, otherwise: str | None) -> str:
    form = http.get("/user")
    found = form.get(name) if isinstance(form, dict) else None
    if not found and otherwise is None:
        raise DeliveryError("GITLAB_TOKEN is not accepted: it needs the scope `api` of this project.")
    return str(found or otherwise)
