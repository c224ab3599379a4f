"""Odd input for the language: whatever the text, reading and evaluating it ends in a value or in diagnostics.

Run by `make fuzz`; `python -m tests.fuzz.fuzz_language [COUNT] [SEED]` runs it alone. Texts are valid configurations
with random edits, and random sequences of the language's words.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from dstream.config import load_text, parse_text
from dstream.config.syntax.format import format_text
from dstream.diagnostics import DiagnosticsError
from dstream.lang import Module, evaluate, evaluate_body, inline_locals, references, to_json_value
from tests.conformance.cases import cases

COUNT = 10_000
WORDS = [
    '=', '{', '}', '[', ']', '(', ')', '"', '${', '%{', '~', '}', ',', '.', ':', '::', '...', '=>', '==', '!=',
    '<', '>', '<=', '>=', '&&', '||', '!', '?', '+', '-', '*', '/', '%', '\n', '\t', '\r', '\ufeff', '#', '//',
    '/*', '*/', '<<', '<<-', '<<E\n', 'E\n', '$$', '%%', '{{', '}}', '{{env`X`}}', '\\', '\\n', '\\u00e9', "'",
    '`', ';', '@', 'é', '😀', '\x00', 'for', 'in', 'if', 'else', 'endif', 'endfor', 'true', 'false', 'null',
    'locals', 'local.a', 'var.b', 'task', 'resource', 'output', 'input', 'config', 'env("X")', '0', '1', '1.5',
    '1e9', '1e99999', 'a', 'b', '_x', '[*]', '.*', 'each.key',
]  # fmt: skip
CONFIGURATION = """
locals {
  a = ["x", "y"]
  b = "${length(local.a)} {{ env "X" }}"
  c = { for i, v in local.a : v => i if v != "z" }
  d = <<-EOT
    %{ for v in local.a ~}
    - ${v}
    %{ endfor ~}
  EOT
}

task "t" {
  input {
    provider_path = "./in"
    config { tables = local.a }
  }
  output {
    provider_path = "./out"
    config = { tables = local.c, text = upper(local.d) }
  }
}
"""


def edited(random_: random.Random, text: str) -> str:
    """Return a text with a few random edits."""
    for _ in range(random_.randint(1, 6)):
        at = random_.randint(0, len(text))
        match random_.randint(0, 4):
            case 0:
                text = text[:at] + text[at + random_.randint(1, 8) :]
            case 1:
                text = text[:at] + random_.choice(WORDS) + text[at:]
            case 2:
                other = random_.randint(0, len(text))
                text = text[:at] + text[other : other + 20] + text[at:]
            case 3:
                text = text[:at] + chr(random_.choice((0, 9, 10, 13, 34, 36, 92, 123, 125, 127, 233, 0x2028, 0x1F600)))
            case _:
                text = text[:at] + text[at : at + 5] * random_.randint(2, 9) + text[at + 5 :]
    return text


def words(random_: random.Random) -> str:
    """Return a random sequence of words."""
    return "".join(random_.choice(WORDS) + random_.choice(("", " ", "")) for _ in range(random_.randint(1, 60)))


def check(text: str) -> None:
    """Read, format and evaluate a text; anything but diagnostics is a fault."""
    parsed = parse_text(text, "fuzz.hcl")
    for diagnostic in parsed.diagnostics:
        assert diagnostic.subject is None or 0 <= diagnostic.subject.start.offset <= len(text)
        assert diagnostic.summary
    references(parsed.body)
    if not parsed.diagnostics:
        once = format_text(text, "fuzz.hcl")
        assert format_text(once, "fuzz.hcl") == once
    try:
        config = load_text(text, "fuzz.hcl")
        scope = Module(config, env={"X": 'a"b${c}'}).scope()
    except DiagnosticsError:
        return
    for attribute in config.locals.values():
        inline_locals(attribute.expr, config)
        try:
            to_json_value(evaluate(attribute.expr, scope))
        except DiagnosticsError as problem:
            assert problem.diagnostics
    for task in config.tasks.values():
        try:
            evaluate_body(task.input.config, scope)
        except DiagnosticsError as problem:
            assert problem.diagnostics


def run(count: int, seed: int) -> None:
    """Check many texts; on a fault, print the text and raise."""
    random_ = random.Random(seed)
    seeds = [CONFIGURATION, *(case.text for case in cases("bodies.txt"))]
    seeds.extend(
        f"locals {{\n  x = {case.text}\n}}\n" for case in cases("layout.txt", "expressions.txt", "functions_*.txt")
    )
    for number in range(count):
        text = words(random_) if number % 3 == 0 else edited(random_, random_.choice(seeds))
        try:
            check(text)
        except BaseException:
            sys.stderr.write(f"fault with text {number} of seed {seed}:\n{text!r}\n")
            raise


def test_no_text_whatever_gives_a_traceback() -> None:
    """Run by `make fuzz`."""
    run(COUNT, random.SystemRandom().randint(0, 2**32))


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    sys.stdout.write(f"{Path(__file__).name}: no fault\n")
