"""`dstream ci comment|issue`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dstream.cli.options import Command, Group, flag, option
from dstream.cli.render.paint import say

if TYPE_CHECKING:
    from dstream.delivery.forge import Forge
    from dstream.delivery.sticky import Outcome


@click.group("ci", cls=Group)
def command() -> None:
    """Show plans and drift in the forge whose pipeline this is: GitHub, Gitea, Forgejo or GitLab.

    The token is read from GITHUB_TOKEN, in a pipeline of GitLab from GITLAB_TOKEN.
    """


@command.command("comment", cls=Command)
@click.argument("file", metavar="FILE")
@option("project", metavar="NAME", default=".", help="Whose comment it is. Default: the project of this repository.")
@option("request", metavar="N", type=click.IntRange(min=1), help="The pull request. Default: that of the pipeline.")
def comment(file: str, project: str, request: int | None) -> None:
    """Make the Markdown in FILE the project's comment of a pull request: one comment, updated in place."""
    from dstream.delivery.sticky import stick

    text, number = _text(file), request or _request(os.environ)
    say(f"Comment {_delivered(lambda forge: stick(forge, number, project, text))}.")


@command.command("issue", cls=Command)
@click.argument("file", metavar="[FILE]", required=False)
@option("project", metavar="NAME", default=".", help="Whose issue it is. Default: the project of this repository.")
@option("title", metavar="TEXT", help="The title of a new issue. Default: Drift of NAME.")
@flag("close", help="Close the issue, if there is an open one.")
def issue(file: str | None, project: str, title: str | None, close: bool) -> None:
    """Make the Markdown in FILE the project's open issue, or close it with -close."""
    from dstream.delivery.sticky import report

    if close == (file is not None):
        raise click.UsageError("Give either a FILE or -close.")
    named = title or ("Drift" if project == "." else f"Drift of {project}")
    text = None if file is None else _text(file)
    say(f"Issue {_delivered(lambda forge: report(forge, project, ' '.join(named.split())[:200], text))}.")


def _delivered(deliver: Callable[[Forge], Outcome]) -> Outcome:
    from dstream.delivery.errors import DeliveryError
    from dstream.delivery.forge import forge

    try:
        return deliver(forge(os.environ))
    except DeliveryError as problem:
        raise click.ClickException(str(problem)) from problem


def _text(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise click.ClickException(f"Cannot read {file}: {problem}") from problem


def _request(environment: Mapping[str, str]) -> int:
    """Return the number of the pipeline's pull request."""
    number: object = environment.get("CI_MERGE_REQUEST_IID")
    if path := environment.get("GITHUB_EVENT_PATH"):
        event = json.loads(_text(path))
        number = (event.get("pull_request") or event.get("issue") or {}).get("number")
    if number is None or not re.fullmatch("[0-9]{1,12}", str(number)):
        raise click.ClickException("This is not the pipeline of a pull request. Name one: -request N")
    return int(str(number))
