"""`dstream providers test`: the conformance kit."""

from __future__ import annotations

import json as json_module
import sys

import click

from dstream.cli.options import Command, flag, json_object, option
from dstream.cli.providers.schema import named_binary
from dstream.cli.render.paint import paint_for, say, say_text


@click.command("test", cls=Command)
@click.argument("provider", metavar="PATH-OR-NAME")
@option(
    "role",
    type=click.Choice(["input", "output", "resource"]),
    help="Role of the provider, if it has several executables.",
)
@option("provider-config", metavar="JSON", default="{}", help="Configuration to test with, as a JSON object.")
@option("verify", metavar="COMMAND", help="Shell command that prints everything an output has written to its target.")
@flag("json", help="Print JSON.")
def command(provider: str, role: str | None, provider_config: str, verify: str | None, json: bool) -> int:
    """Test a provider against the rules of the protocol. Use a configuration that points to a test system."""
    from dstream.plugins.conformance import run_kit

    results = run_kit(named_binary(provider, role), json_object(provider_config, "it", hint="-provider-config"), verify)
    failed = [result for result in results if result.outcome == "failed"]
    if json:
        say(json_module.dumps([result.to_json() for result in results], ensure_ascii=False))
        return 1 if failed else 0
    paint = paint_for(sys.stdout)
    colours = {"passed": "green", "failed": "red", "skipped": "dim"}
    for result in results:
        say(f"{paint(result.outcome, colours[result.outcome]):<7}  {result.rule}  {result.title}")
        if result.outcome != "passed" and result.detail:
            for line in result.detail.splitlines():
                say(f"           {line}")
    counts = {outcome: sum(result.outcome == outcome for result in results) for outcome in colours}
    say_text(f"\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped.")
    return 1 if failed else 0
