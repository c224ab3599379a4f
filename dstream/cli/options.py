"""Options in Terraform's style (one dash or two, `-flag=false`), and the groups of options that commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

if TYPE_CHECKING:
    from dstream.diagnostics import Diagnostic

F = TypeVar("F", bound=Callable[..., Any])
FailureWriter = Callable[["tuple[Diagnostic, ...]", float], bool]
"""Writes as JSON why a command failed, and after how many seconds.

Returns whether text output must be left out.
"""
_FLAG_VALUE = re.compile(r"(?P<name>--?[a-z][a-z-]*)=(?P<value>true|false)")
_JSON = re.compile(r"--?json(=true)?|--?format=json")
_NO_JSON = re.compile(r"--?no-json|--?json=false")


def json_requested(args: Sequence[str]) -> bool:
    """Return whether a command line requests JSON, even if it is otherwise invalid."""
    json = False
    for position, arg in enumerate(args):
        if arg == "--":
            break
        if _JSON.fullmatch(arg) or (arg in ("-format", "--format") and args[position + 1 : position + 2] == ["json"]):
            json = True
        elif _NO_JSON.fullmatch(arg):
            json = False
    return json


class Command(click.Command):
    """A command whose flags also take `=true` and `=false`, as Terraform's do."""

    def __init__(self, *args: Any, write_failure: FailureWriter | None = None, **settings: Any) -> None:
        """Take the arguments of click; `write_failure` writes as JSON why the command failed, usage errors included."""
        super().__init__(*args, **settings)
        self.write_failure = write_failure

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite `-flag=false` to its opposite before click sees it."""
        opposites: dict[str, str] = {}
        for parameter in self.params:
            if isinstance(parameter, click.Option) and parameter.is_flag and parameter.secondary_opts:
                for name in parameter.opts:
                    opposites[name] = parameter.secondary_opts[0]
        rewritten: list[str] = []
        for position, arg in enumerate(args):
            if arg == "--":
                rewritten.extend(args[position:])
                break
            match = _FLAG_VALUE.fullmatch(arg)
            if match and match["name"] in opposites:
                arg = match["name"] if match["value"] == "true" else opposites[match["name"]]
            rewritten.append(arg)
        try:
            return super().parse_args(ctx, list(rewritten))
        except click.NoSuchOption as problem:
            raise self._unknown_option(ctx, rewritten) or problem from None

    def _unknown_option(self, ctx: click.Context, args: list[str]) -> click.NoSuchOption | None:
        """Return the error for a misspelt option such as `-detailled-exitcode`; click names its first letter."""
        import difflib

        names = [name for parameter in self.params for name in (*parameter.opts, *parameter.secondary_opts)]
        for arg in args:
            word = arg.partition("=")[0]
            if len(word) > 2 and word.startswith("-") and not word.startswith("--") and word not in names:
                near = difflib.get_close_matches(word, [name for name in names if not name.startswith("--")], n=1)
                return click.NoSuchOption(word, possibilities=near, ctx=ctx)
        return None


def option(name: str, **settings: Any) -> Callable[[F], F]:
    """Declare an option that takes a value, as `-name` and `--name`."""
    return click.option(f"-{name}", f"--{name}", name.replace("-", "_"), **settings)


def flag(name: str, *, default: bool | None = False, **settings: Any) -> Callable[[F], F]:
    """Declare a flag, as `-name`, `--name`, `-name=true` and `-name=false`."""
    declaration = f"-{name}/-no-{name}"
    return click.option(
        declaration,
        f"--{name}/--no-{name}",
        name.replace("-", "_"),
        is_flag=True,
        default=default,
        show_default=False,
        **settings,
    )


def config_options(function: F) -> F:
    """Add the options of every command that reads a configuration: its path and variables."""
    function = click.option(
        "-c",
        "-config",
        "--config",
        "config",
        metavar="PATH",
        default=".",
        show_default=False,
        help="Configuration file or folder. Default: the current folder.",
    )(function)
    function = option("var", metavar="NAME=VALUE", multiple=True, help="Set a variable.")(function)
    return option("var-file", metavar="FILE", multiple=True, help="Read variables from a file.")(function)


def lock_options(function: F) -> F:
    """Add the options of every command that takes the state lock."""
    return option(
        "lock-timeout", metavar="DURATION", default="0s", help="How long to wait for the lock, such as 30s or 5m."
    )(function)


def plan_options(function: F) -> F:
    """Add the options that shape a plan."""
    function = option(
        "target", metavar="ADDRESS", multiple=True, help="Limit the operation to this address and its dependencies."
    )(function)
    function = option(
        "exclude", metavar="ADDRESS", multiple=True, help="Leave out this address and everything that depends on it."
    )(function)
    function = option("replace", metavar="ADDRESS", multiple=True, help="Replace the object at this address.")(function)
    function = flag("refresh", default=True, help="Refresh the state before planning (default).")(function)
    return option(
        "parallelism",
        metavar="N",
        type=click.IntRange(min=1),
        default=10,
        help="Number of concurrent changes and of tasks planned together.",
    )(function)


class ApplySettings(TypedDict):
    """The values of `apply_options` and `lock_options`, and `parallelism` of `plan_options`."""

    parallelism: int
    lock_timeout: str
    auto_approve: bool
    stop_tasks: bool
    allow_data_loss: bool
    json: bool
    color: bool


def apply_options(function: F) -> F:
    """Add the options of every command that performs a plan."""
    function = flag("color", default=True, help="Use colour on a terminal (default).")(function)
    function = flag("json", help="Write the plan and the outcome as JSON lines.")(function)
    function = flag("allow-data-loss", help="Without a prompt: also destroy objects that hold data.")(function)
    function = flag("stop-tasks", help="Stop runs on this machine whose tasks change.")(function)
    return flag("auto-approve", help="Do not ask for approval.")(function)


FORMATS = ("text", "markdown", "json", "html")


def format_option(function: F) -> F:
    """Add the option for the output format of a plan or a state."""
    return option(
        "format",
        type=click.Choice(FORMATS),
        default="text",
        show_default=False,
        help="Output format. Default: text.",
    )(function)


def json_object(text: str, what: str, *, hint: str) -> dict[str, Any]:
    """Parse an argument as a JSON object; raise ClickException, which names it `what`, for anything else."""
    import json

    try:
        found = json.loads(text)
    except ValueError as problem:
        raise click.BadParameter(f"not JSON: {problem}", param_hint=hint) from None
    if not isinstance(found, dict):
        raise click.BadParameter(f"{what} is a JSON object", param_hint=hint)
    return found


def seconds(text: str, what: str) -> float:
    """Return a duration such as "90s", "5m", "1h30m" or "90" in seconds; raise BadParameter naming `what` otherwise."""
    from dstream.lang.durations import seconds_of

    try:
        text = text.strip()
        found = float(text if text.replace(".", "", 1).isdecimal() else seconds_of(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a duration; write 30s, 5m or 1h30m", param_hint=what) from None
    if found < 0:
        raise click.BadParameter(f"{text!r} is less than 0", param_hint=what)
    return found
