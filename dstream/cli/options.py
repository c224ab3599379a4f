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


class Option(click.Option):
    """An option that help lists once, with one dash: `-var NAME=VALUE`, `-refresh[=false]`.

    With `bare`, its value is optional: the option alone stands for this value.
    """

    def __init__(self, *args: Any, bare: str | None = None, **settings: Any) -> None:
        """Take the arguments of click, and the value of the option alone."""
        super().__init__(*args, **settings)
        self.bare = bare

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names as they are written, and the text."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        names = [name for name in self.opts if not name.startswith("--")] or list(self.opts)
        shown = ", ".join(names)
        if self.is_flag:
            return (f"{shown}[=false]" if self.default is True and self.secondary_opts else shown), record[1]
        value = self.make_metavar(ctx)
        return (f"{shown} {value}" if self.bare is None else f"{shown}[={value}]"), record[1]


class _WithHelp(click.Command):
    """A command whose `-help` is listed once too."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option."""

        def show(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
            if value and not ctx.resilient_parsing:
                from dstream.cli.render.paint import say_text

                say_text(ctx.get_help())
                ctx.exit()

        names = self.get_help_option_names(ctx)
        text = "Show this message and exit."
        return Option(names, is_flag=True, is_eager=True, expose_value=False, callback=show, help=text)


class Group(_WithHelp, click.Group):
    """A group of commands that suggests the command for an unknown one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command; most belong after it."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as problem:
            word = problem.option_name
            hint = f" Options stand after the command: {ctx.command_path} COMMAND {word}" if len(args) > 1 else ""
            raise click.NoSuchOption(word, f"No such option {word!r}.{hint}", ctx=ctx) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail with what replaces it, or the closest name."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from dstream.cli.suggestions import instead_of_command

            hint = instead_of_command(self.name or "", args[0], self.list_commands(ctx))
            ctx.fail(f"No such command {args[0]!r}. {hint}".rstrip())
        return super().resolve_command(ctx, args)


class Command(_WithHelp):
    """A command whose flags also take `=true` and `=false`, as Terraform's do."""

    def __init__(self, *args: Any, write_failure: FailureWriter | None = None, **settings: Any) -> None:
        """Take the arguments of click; `write_failure` writes as JSON why the command failed, usage errors included."""
        super().__init__(*args, **settings)
        self.write_failure = write_failure

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite `-flag=false` to its opposite before click sees it."""
        if moved := next((arg for arg in args if arg.lstrip("-").startswith("chdir") and arg.startswith("-")), None):
            root = ctx.find_root().info_name
            ctx.fail(f"-chdir stands before the command: {root} {moved.partition('=')[0]}=DIR {ctx.info_name}")
        opposites: dict[str, str] = {}
        bare = {
            name: each.bare
            for each in self.params
            if isinstance(each, Option) and each.bare is not None
            for name in each.opts
        }
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
            if arg.removesuffix("=true") in bare:
                arg = f"{arg.removesuffix('=true')}={bare[arg.removesuffix('=true')]}"
            elif arg.endswith("=false") and arg.removesuffix("=false") in bare:
                continue
            rewritten.append(arg)
        try:
            return super().parse_args(ctx, list(rewritten))
        except click.NoSuchOption as problem:
            raise self._unknown_option(ctx, rewritten, problem.option_name) from None

    def _unknown_option(self, ctx: click.Context, args: list[str], word: str) -> click.NoSuchOption:
        """Return the error for an unknown option; click names only the first letter of `-detailled-exitcode`."""
        from dstream.cli.suggestions import instead_of_option

        names = {name for parameter in self.params for name in (*parameter.opts, *parameter.secondary_opts)}
        typed = (arg.partition("=")[0] for arg in args if arg.startswith(word) and not arg.startswith("--"))
        if not word.startswith("--"):
            word = next((each for each in typed if each not in names), word)
        root = ctx.find_root()
        group = root.command
        others = {}
        if isinstance(group, click.Group):
            found = ((name, group.get_command(root, name)) for name in group.list_commands(root))
            others = {name: each for name, each in found if each is not None and each is not self}
        hint = instead_of_option(word, self, others)
        return click.NoSuchOption(word, f"No such option {word!r}. {hint}".rstrip(), ctx=ctx)


def option(name: str, **settings: Any) -> Callable[[F], F]:
    """Declare an option that takes a value, as `-name` and `--name`."""
    return click.option(f"-{name}", f"--{name}", name.replace("-", "_"), cls=Option, **settings)


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
        cls=Option,
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
        cls=Option,
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
    function = flag(
        "preflight", default=True, help="Ask servers what happens to the data and what would fail (default)."
    )(function)
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
    allow_data_loss: tuple[str, ...]
    json: bool
    color: bool
    concise: bool


def apply_options(function: F) -> F:
    """Add the options of every command that performs a plan."""
    function = flag("color", default=True, help="Use colour on a terminal (default).")(function)
    function = concise_option(function)
    function = flag("json", help="Write the plan and the outcome as JSON lines.")(function)
    function = option(
        "allow-data-loss",
        metavar="ADDRESS",
        multiple=True,
        bare="*",
        help="Without a prompt: also destroy what holds data at this address; without ADDRESS, all of it.",
    )(function)
    function = flag("stop-tasks", help="Stop runs on this machine whose tasks change.")(function)
    return flag("auto-approve", help="Do not ask for approval.")(function)


def concise_option(function: F) -> F:
    """Add the option for plans without attributes."""
    return flag("concise", help="Show one line for each object, without attributes.")(function)


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
