"""Suggestions: the command or option that is meant, also by the name that another program has for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import click

_INSTEAD: Mapping[str, Mapping[str, str]] = {
    "": {
        "env": "Use: dstream workspace",
        "get": "dstream has no modules. To fetch providers, run: dstream init",
        "login": "dstream uses Docker's credentials. To log in, run: docker login",
        "logout": "dstream uses Docker's credentials. To log out, run: docker logout",
        "metadata": "To show the schemas of providers, run: dstream providers schema",
        "refresh": "To update the state to match the real objects, run: dstream apply -refresh-only",
        "taint": "To replace an object, run: dstream apply -replace=ADDRESS",
        "test": "To test a provider, run: dstream providers test",
        **dict.fromkeys(("setup", "install", "configure"), "To prepare providers and backend, run: dstream init"),
        **dict.fromkeys(("new", "create"), "To create a provider package, run: dstream providers new NAME"),
        **dict.fromkeys(("preview", "diff"), "To see what apply would do, run: dstream plan"),
        **dict.fromkeys(("up", "deploy"), "To create the objects, run: dstream apply. To move data, run: dstream run"),
        **dict.fromkeys(("down", "delete", "remove", "rm"), "To delete all managed objects, run: dstream destroy"),
        **dict.fromkeys(("start", "exec", "stream"), "To run the data flow of a task, run: dstream run TASK"),
        **dict.fromkeys(("kill", "cancel"), "To stop a task, run: dstream stop TASK"),
        **dict.fromkeys(("ps", "top", "jobs"), "To see what is running, run: dstream status"),
        **dict.fromkeys(("log", "tail"), "To see the output of a background run, run: dstream logs TASK"),
        **dict.fromkeys(("ls", "list"), "To list the objects of the state, run: dstream state list"),
        **dict.fromkeys(("check", "verify"), "To check the configuration, run: dstream validate"),
        **dict.fromkeys(("format", "hclfmt"), "To format configurations, run: dstream fmt"),
        **dict.fromkeys(("unlock", "forceunlock"), "To release a lock, run: dstream force-unlock"),
        **dict.fromkeys(("provider", "plugin", "plugins"), "Use: dstream providers"),
        **dict.fromkeys(("outputs",), "Use: dstream output"),
    },
    "state": {
        **dict.fromkeys(("remove", "delete", "forget"), "Use: dstream state rm"),
        **dict.fromkeys(("move", "rename"), "Use: dstream state mv"),
        **dict.fromkeys(("ls",), "Use: dstream state list"),
        **dict.fromkeys(("get",), "Use: dstream state show ADDRESS"),
    },
    "workspace": {
        **dict.fromkeys(("create", "add"), "Use: dstream workspace new NAME"),
        **dict.fromkeys(("use", "switch"), "Use: dstream workspace select NAME"),
        **dict.fromkeys(("ls",), "Use: dstream workspace list"),
        **dict.fromkeys(("remove", "rm", "destroy"), "Use: dstream workspace delete NAME"),
    },
    "providers": {
        **dict.fromkeys(("install", "add", "get", "fetch", "download"), "Use: dstream providers pull REF"),
        **dict.fromkeys(("create", "init"), "Use: dstream providers new NAME"),
        **dict.fromkeys(("push", "upload"), "Use: dstream providers publish"),
        **dict.fromkeys(("ls",), "Use: dstream providers list"),
        **dict.fromkeys(("find",), "Use: dstream providers search NAME"),
        **dict.fromkeys(("clean",), "Use: dstream providers prune"),
        **dict.fromkeys(("upgrade", "update"), "Use: dstream init -upgrade"),
        **dict.fromkeys(("validate", "check", "verify"), "Use: dstream providers test PATH"),
    },
    "checkpoint": {
        **dict.fromkeys(("get", "list"), "Use: dstream checkpoint show TASK"),
        **dict.fromkeys(("delete", "rm", "clear"), "Use: dstream checkpoint reset TASK"),
    },
    "dlq": {
        **dict.fromkeys(("ls",), "Use: dstream dlq list TASK"),
        **dict.fromkeys(("get",), "Use: dstream dlq show TASK"),
        **dict.fromkeys(("retry", "resend"), "Use: dstream dlq replay TASK"),
    },
}
"""By group, what replaces a command that dstream does not have."""

_OPTION_INSTEAD = {
    **dict.fromkeys(("y", "yes", "approve", "autoapprove", "assume-yes", "no-prompt"), "-auto-approve"),
    **dict.fromkeys(("f", "file", "chdir", "dir", "directory"), "-c"),
    **dict.fromkeys(("o", "output"), "-out"),
    **dict.fromkeys(("t",), "-target"),
    **dict.fromkeys(("vars-file", "var_file", "tfvars"), "-var-file"),
    **dict.fromkeys(("d", "background", "daemon"), "-detach"),
    **dict.fromkeys(("tail", "lines"), "-n"),
    **dict.fromkeys(("no-colour", "nocolor"), "-no-color"),
}
"""Options of other programs, without dashes; the replacement counts only where the command has it."""


def instead_of_command(group: str, name: str, known: Iterable[str]) -> str:
    """Return the hint for an unknown command of a group ("" is dstream itself), or an empty string."""
    names, instead = list(known), _INSTEAD.get(group, {})
    near = [name] if name in instead else difflib.get_close_matches(name, [*names, *instead], n=1)
    if near:
        return instead.get(near[0], f"Did you mean {near[0]!r}?")
    return f"Commands: {', '.join(names)}." if group else ""


def instead_of_option(word: str, command: click.Command, others: Mapping[str, click.Command]) -> str:
    """Return the hint for an unknown option of a command: another option, or the commands that have it."""
    bare = word.lstrip("-")
    names = _single_dash(command)
    replacement = _OPTION_INSTEAD.get(bare)
    if replacement in names:
        return f"Did you mean '{replacement}'?"
    owners = [name for name, other in others.items() if f"-{bare}" in _single_dash(other)]
    if owners:
        return f"These commands have it: {', '.join(owners)}."
    near = difflib.get_close_matches(f"-{bare}", names, n=1)
    return f"Did you mean '{near[0]}'?" if near else ""


def _single_dash(command: click.Command) -> list[str]:
    """Return the names of a command's options with one dash."""
    found = [name for each in command.params for name in (*each.opts, *each.secondary_opts)]
    return [name for name in found if name.startswith("-") and not name.startswith("--")]
