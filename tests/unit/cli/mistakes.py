# ruff: noqa: E501
"""Typical mistakes: what is written, what dstream says, and the fix that its message names.

`python -m tests.unit.cli.mistakes` writes docs/mistakes.md from this table; `test_mistakes` makes each mistake and
applies each fix.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).resolve().parents[3] / "docs" / "mistakes.md"
TASK = """\
task "copy" {
  input {
    provider = "counter"
    config {
      interval = 5
    }
  }
  output {
    provider = "console"
  }
}
"""
IN_TASK = TASK.replace("  input {", "@\n  input {", 1)
INTERVAL = TASK.replace("interval = 5", "interval = @")
VALUE = 'locals {\n  a = @\n}\noutput "a" {\n  value = local.a\n}\n'
EVERY = "locals {\n  every = 5\n}\n"
LIST = 'variable "names" {\n  type = list(string)\n}\noutput "names" {\n  value = var.names\n}\n'


class Mistake(NamedTuple):
    """One mistake; `wrong` and `right` stand in place of the @ in `file`, or are what is typed after `dstream`."""

    title: str
    wrong: str
    right: str
    says: str
    """Part of the message, which contains the fix."""
    place: str = ""
    """Line and column in dstream.hcl, or another file, line and column."""
    file: str = ""
    """The configuration, with an @; without one, the mistake is in the command."""
    command: str = "lint"
    """What is typed, if the mistake is in the configuration."""
    more: Mapping[str, str] = {}
    """Other files, by name; dstream.hcl in place of the usual task."""

    def files(self, text: str) -> dict[str, str]:
        """Return the files, with the wrong or the right text."""
        first = self.file.replace("@", text) if self.file else TASK
        return {**({} if "dstream.hcl" in self.more else {"dstream.hcl": first}), **self.more}

    def typed(self, text: str) -> list[str]:
        """Return what is typed after `dstream`."""
        return shlex.split(self.command if self.file else text)


BLOCKS = [
    Mistake("= after a block's name", "locals = {", "locals {", "remove the =", "1:1", "@\n  a = 1\n}\noutput \"a\" {\n  value = local.a\n}\n"),
    Mistake("= after a block inside another", "lifecycle = {", "lifecycle {", "remove the =, and write lifecycle { ... }", "2:3", IN_TASK.replace("@", "  @\n    prevent_destroy = true\n  }")),
    Mistake("A block of Terraform", "terraform {", "dstream {", "Use dstream { ... } instead", "1:1", '@\n  required_version = ">= 0.1"\n}\n' + TASK),
    Mistake("A misspelt block", 'tsak "copy" {', 'task "copy" {', 'Did you mean "task"?', "1:1", TASK.replace('task "copy" {', "@")),
    Mistake("A provider in place of a block", 'output = "console"', 'output { provider = "console" }', 'write output { provider = "console" }', "2:3", 'task "copy" {\n  @\n  input { provider = "counter" }\n}\n'),
    Mistake("The backend as an argument", 'backend = "local"', 'backend "local" {}', 'backend "local" { ... }', "2:3", "dstream {\n  @\n}\n" + TASK),
    Mistake("A block without its labels", "output {", 'output "a" {', 'output "NAME" { ... }', "1:1", "@\n  value = 1\n}\n"),
    Mistake("Settings outside of config", "interval = 5", "config { interval = 5 }", "config { interval = 5 }", "4:5", TASK.replace("config {\n      interval = 5\n    }", "@")),
    Mistake("Settings beside config", "interval = 5\n    config {", "config {\n      interval = 5", "into the config block on line 5: interval = 5", "4:5", TASK.replace("config {\n      interval = 5", "@")),
    Mistake("Two blocks on one line", "input { config { interval = 5 } }", 'input {\n    provider = "counter"\n  }', "A block on one line holds one argument and no other block", "2:18", 'task "copy" {\n  output {\n    provider = "console"\n  }\n}\n'.replace("  output", "  @\n  output")),
    Mistake("count and for_each together", '  count = 1\n  for_each = toset(["a"])', '  for_each = toset(["a"])', "has both for_each and count; remove one of them", "2:11", IN_TASK),
    Mistake("A list for for_each", '  for_each = ["a", "b"]', '  for_each = toset(["a", "b"])', 'for_each = toset(["a", "b"])', "2:14", IN_TASK),
    Mistake("depends_on with strings", '  depends_on = ["task.first"]', "  depends_on = [task.first]", "depends_on = [task.first]", "2:17", IN_TASK + TASK.replace('"copy"', '"first"')),
    Mistake("depends_on without a list", "  depends_on = task.first", "  depends_on = [task.first]", "depends_on = [task.first]", "2:16", IN_TASK + TASK.replace('"copy"', '"first"')),
    Mistake("An address in quotation marks", 'from = "task.old"', "from = task.old", "Write from = task.old", "13:10", TASK + "moved {\n  @\n  to = task.copy\n}\n"),
    Mistake("import without id", "", '\n  id = "counter-1"', 'Add: id = "IDENTITY"', "12:1", TASK + "import {\n  to = task.copy.output.x.y@\n}\n"),
    Mistake("The same name twice", 'task "copy" {', 'task "copy2" {', 'task "copy" is already declared at dstream.hcl:1:1', "12:1", TASK + TASK.replace('task "copy" {', "@")),
    Mistake("The same argument twice", "interval = 5\n      interval = 6", "interval = 5", 'The argument "interval" was already set on line 5', "6:7", TASK.replace("interval = 5", "@")),
    Mistake("A missing closing brace", "", "}\n", "On line 3, task starts something new at the left margin", "1:8", "locals {\n  a = 1\n@" + TASK + 'output "a" {\n  value = local.a\n}\n'),
    Mistake("A misspelt provider", '"countter"', '"counter"', "Did you mean 'counter'?", "3:16", TASK.replace('"counter"', "@")),
    Mistake("A provider without quotation marks", "counter", '"counter"', 'enclose it in quotation marks: "counter"', "3:16", TASK.replace('"counter"', "@")),
    Mistake("A misspelt setting", "intervall", "interval", "Did you mean interval?", "5:7", TASK.replace("interval", "@")),
]  # fmt: skip
VALUES = [
    Mistake("A reference in quotation marks", '"local.every"', "local.every", "remove the quotation marks: local.every", "5:18", INTERVAL + EVERY),
    Mistake("A misspelt local", "local.everi", "local.every", "Did you mean every?", "5:18", INTERVAL + EVERY),
    Mistake("The plural in a reference", "locals.every", "local.every", "Write local.every", "5:18", INTERVAL + EVERY),
    Mistake("variable in place of var", "variable.every", "var.every", "Write var.every", "5:18", INTERVAL + 'variable "every" {\n  default = 5\n}\n'),
    Mistake("A misspelt function", 'lowr("A")', 'lower("A")', "Did you mean lower", "2:7", VALUE),
    Mistake("${ } outside of quotation marks", "${local.b}", "local.b", "write the expression alone: local.b", "2:7", VALUE.replace("a = @", "a = @\n  b = 1")),
    Mistake("${ } as a key", "${local.b} =", "(local.b) =", "(local.b) = ...", "2:9", VALUE.replace("a = @", 'a = { @ 1 }\n  b = "k"')),
    Mistake("Single quotes", "'text'", '"text"', 'Use double quotes: "text"', "2:7", VALUE),
    Mistake("Curly quotation marks", "“text”", '"text"', 'Use straight ones: "text"', "2:7", VALUE),
    Mistake("True", "True", "true", "True is written true", "2:7", VALUE),
    Mistake("None", "None", "null", "None is written null", "2:7", VALUE),
    Mistake("and", "true and false", "true && false", "The operator and is written &&", "2:12", VALUE),
    Mistake("if in an expression", "if true then 1 else 2", "true ? 1 : 2", "CONDITION ? VALUE : OTHER", "2:10", VALUE),
    Mistake("+ for strings", '"x" + "y"', '"${"x"}${"y"}"', 'use a template: "${a}${b}"', "2:7", VALUE),
    Mistake("A missing comma", '["a" "b"]', '["a", "b"]', "a comma is missing", "2:12", VALUE),
    Mistake("A colon in place of =", "a: 1", "a = 1", "with =, not with a colon", "2:4", VALUE.replace("a = @", "@")),
    Mistake("== in an argument", "a == 1", "a = 1", "single =: a = VALUE", "2:5", VALUE.replace("a = @", "@")),
    Mistake("A quotation mark in a string", '"say "hi" to"', '"say \\"hi\\" to"', 'inside a string is written \\"', "2:13", VALUE),
    Mistake("A backslash in a string", '"C:\\Users"', '"C:\\\\Users"', "write two: \\\\U", "2:10", VALUE),
    Mistake("A list in parentheses", '("a", "b")', '["a", "b"]', "in square brackets: [FIRST, SECOND]", "2:11", VALUE),
    Mistake("A comprehension as in Python", "[x for x in [1]]", "[for x in [1] : x]", "[for NAME in LIST : EXPRESSION]", "2:10", VALUE),
    Mistake("A string with a prefix", 'f"text"', '"text"', "A string has no prefix", "2:8", VALUE),
    Mistake("A reference as in a shell", "$HOME", 'env("HOME", "")', 'env("NAME") is an environment variable', "2:7", VALUE.replace("  value = local.a", "  value = nonsensitive(local.a)")),
    Mistake("A semicolon", "1;", "1", "Semicolons are not supported", "2:8", VALUE),
    Mistake("A ${ that is not closed", '"${local.b"', '"${local.b}"', "Add it: ${local.b}", "2:17", VALUE.replace("a = @", "a = @\n  b = 1")),
    Mistake("Locals in a cycle", "local.a", "1", "local.a -> local.b -> local.a", "2:3", VALUE.replace("a = @", "a = local.b\n  b = @")),
    Mistake("A heredoc with a space", "<< EOT\ntext\nEOT", "<<EOT\ntext\nEOT", "follows without a space: <<EOT", "2:7", VALUE),
    Mistake("A heredoc with text on its first line", "<<EOT text\nEOT", "<<EOT\ntext\nEOT", "move text below <<EOT", "2:7", VALUE),
    Mistake("A bracket after a heredoc", "upper(<<EOT\ntext\nEOT)", "upper(<<EOT\ntext\nEOT\n)", "On line 4, move ) to the next line", "2:13", VALUE),
    Mistake("A type of another language", "integer", "number", "Did you mean number?", "2:10", 'variable "a" {\n  type = @\n  default = 1\n}\noutput "a" {\n  value = var.a\n}\n'),
    Mistake("A type in quotation marks", '"string"', "string", "without quotation marks: string", "2:10", 'variable "a" {\n  type = @\n  default = "x"\n}\noutput "a" {\n  value = var.a\n}\n'),
]  # fmt: skip
COMMANDS = [
    Mistake("A command of another tool", "setup", "init", "run: dstream init"),
    Mistake("A misspelt command", "pln", "plan", "Did you mean 'plan'?"),
    Mistake("A command of a group, misspelt", "workspace create a", "workspace new a", "Use: dstream workspace new NAME"),
    Mistake("An option of another command", "plan -auto-approve", "apply -auto-approve", "These commands have it: init, apply"),
    Mistake("An option of another tool", "apply --yes", "apply -auto-approve", "Did you mean '-auto-approve'?"),
    Mistake("A misspelt option", "plan -detailled-exitcode", "plan -detailed-exitcode", "Did you mean '-detailed-exitcode'?"),
    Mistake("A misspelt task", "plan cpy", "plan copy", "Did you mean copy?"),
    Mistake("A folder in place of a task", "plan .", "plan -c .", "write: -c ."),
    Mistake("An option before the command", "-c . plan", "plan -c .", "dstream COMMAND -c"),
    Mistake("-chdir after the command", "plan -chdir=.", "-chdir=. plan", "-chdir=DIR plan"),
    Mistake("A task as an address", "plan -target=copy", "plan -target=task.copy", "Did you mean task.copy?"),
    Mistake("A misspelt address", "plan -target=task.cpy", "plan -target=task.copy", "Did you mean task.copy?"),
    Mistake("-replace with a task", "plan -replace task.copy", "checkpoint reset copy -force", "dstream checkpoint reset copy"),
    Mistake("A variable without a value", "plan -var every", "plan -var every=5", "write -var every=VALUE", more={"dstream.hcl": 'variable "every" {}\noutput "every" {\n  value = var.every\n}\n'}),
    Mistake("A missing variable", "plan", "plan -var every=5", "-var every=VALUE", "1:1", more={"dstream.hcl": 'variable "every" {}\noutput "every" {\n  value = var.every\n}\n'}),
    Mistake("A variable that is not declared", "plan -var everi=5", "plan -var every=5", "Did you mean every?", more={"dstream.hcl": 'variable "every" {\n  default = 5\n}\noutput "every" {\n  value = var.every\n}\n'}),
    Mistake("A list that is not an expression", "plan -var names=a,b", """plan -var 'names=["a", "b"]'""", """'NAME=["a", "b"]'""", more={"dstream.hcl": LIST}),
    Mistake("A misspelt file of variables", "plan -var-file=prd.dsvars", "plan -var-file=prod.dsvars", "Did you mean prod.dsvars?", more={"prod.dsvars": ""}),
    Mistake("A block in a file of variables", "plan -var-file=a.dsvars", "plan -var-file=b.dsvars", "names = value", "a.dsvars:1:1", more={"dstream.hcl": LIST, "a.dsvars": 'variable "names" {\n  default = []\n}\n', "b.dsvars": "names = []\n"}),
    Mistake("The wrong folder", "plan", "plan -c flows", "There is one in flows: add -c flows", more={"dstream.hcl": "", "flows/dstream.hcl": TASK}),
]  # fmt: skip
TABLE = [*BLOCKS, *VALUES, *COMMANDS]

HEAD = """\
# Typical mistakes

What people write in their first days, most of them with Terraform or another language in mind; what dstream says about it, and what
to write. A message names the file, the line and the column, and the fix; `dstream validate` finds the mistakes of a configuration
without accessing a remote system.
"""


def _code(text: str) -> str:
    shown = " ⏎ ".join(line.strip() for line in text.strip("\n").splitlines()) or "(nothing)"
    return f"`{shown}`" if text else "(nothing)"


def page() -> str:
    """Return the whole page."""
    out = [HEAD]
    for title, rows in (("Blocks", BLOCKS), ("Values", VALUES)):
        out.append(f"\n## {title}\n\n| mistake | written | the message says | write |\n|---|---|---|---|\n")
        out.extend(f"| {m.title} | {_code(m.wrong)} | {m.says} | {_code(m.right)} |\n" for m in rows)
    out.append(
        "\n## Commands\n\nEach after `dstream`.\n\n| mistake | typed | the message says | type |\n|---|---|---|---|\n"
    )
    out.extend(f"| {m.title} | {_code(m.wrong)} | {m.says} | {_code(m.right)} |\n" for m in COMMANDS)
    return "".join(out)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
