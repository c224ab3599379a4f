"""Expressions by system: each function with typical and odd arguments, and each construct of the language."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

HERE = Path(__file__).parent
SHARE = 0.3
"""How many of the combinations of functions, operators and values the table has."""

ODD = (
    "null", "true", "0", "-1", "1.5", "1e30", '""', '"abc"', '"12"', '"é\\u0301ß漢😀"', '"true"', "[]", "[1, 2]",
    '["b", "a", ""]', "[true, 1]", "[null]", "[[1], [2, 3]]", "{}", '{ a = "x", b = 2 }', "[{ a = 1 }, { b = 2 }]",
    "local.us", "local.un", "local.ul", "local.um", "local.ua", "local.pu", "local.s", "local.sn", "local.sl",
    "local.sd", "local.so", "local.l", "local.ln", "local.m", "local.set", "local.uset", "local.ut", "local.uo",
)  # fmt: skip
"""Arguments of every kind, right for few functions and wrong for most."""

UNARY = (
    "abs", "ceil", "floor", "max", "min", "signum", "sum", "chomp", "lower", "strrev", "title", "trimspace", "upper",
    "alltrue", "anytrue", "coalesce", "coalescelist", "compact", "concat", "distinct", "flatten", "keys", "length",
    "merge", "one", "range", "reverse", "setintersection", "setproduct", "setunion", "sort", "transpose", "values",
    "base64decode", "base64encode", "csvdecode", "jsondecode", "jsonencode", "urldecode", "urlencode", "yamldecode",
    "yamlencode", "md5", "base64sha512", "sha1", "basename", "dirname", "cidrnetmask", "issensitive", "nonsensitive",
    "tobool", "tolist", "tomap", "tonumber", "toset", "tostring", "can", "try",
)  # fmt: skip

BINARY = {
    "+": '1 "2" "x" null true local.un local.sn [] 1e30 0.1',
    "/": '1 "2" 0 0.3 local.un local.sn',
    "%": "7 -7 2.5 0 local.un",
    "==": '1 "1" true null "" [] [1] {} local.un local.us local.l local.ul local.sn local.uid tolist([1]) toset(["a"])',
    "!=": '1 "1" null local.un local.s',
    "<": '1 "2" "x" null local.un local.sn 1e30',
    ">=": '1 "2" 2.0',
    "&&": 'true false null "true" "x" 1 local.ub local.sb local.us',
    "||": 'true false null "false" local.ub local.sb',
}

BRANCHES = (
    "1", '"x"', "true", "null", "[]", "[1]", '["x"]', "[1, 2]", '[1, "x"]', "{}", "{ a = 1 }", '{ a = "x" }',
    "{ b = true }", "local.l", "local.ln", "local.m", "local.set", "local.us", "local.un", "local.ul", "local.ua",
    "local.s",
)  # fmt: skip


BLOCKS = (
    "<<EOT\nhello\n  world\nEOT\n",
    "<<-EOT\n    hello\n      world\n    EOT\n",
    "<<-EOT\n  a\n\n    b\n  EOT\n",
    "<<-EOT\n\ta\n\t  b\n\tEOT\n",
    "<<EOT\n${1 + 1} and $${x}\nEOT\n",
    "<<EOT\n%{ for x in [1, 2] }\n- ${x}\n%{ endfor }\nEOT\n",
    "<<EOT\n%{ for x in [1, 2] ~}\n- ${x}\n%{ endfor ~}\nEOT\n",
    "<<EOT\n%{ if true ~}\nyes\n%{ else ~}\nno\n%{ endif ~}\nEOT\n",
    '<<EOT\n\\n \\t "quoted"\nEOT\n',
    "<<EOT\nEOT\n",
    '<<-EOT\n  ${"a\\nb"}\n  c\n  EOT\n',
    "<<-EOT\n    %{ if true }\n    x\n    %{ endif }\n  EOT\n",
    "<<EOT\n${local.s}\nEOT\n",
    "<<EOT\nx-${local.us}\nEOT\n",
    "[<<EOT\na\nEOT\n, 1]",
    "{\n  a = 1\n  b = 2\n}",
    "{ a = 1\n b = 2 }",
    "{ a = 1 b = 2 }",
    "[1\n, 2]",
    "(1\n+ 2)",
    'upper(\n  "a",\n)',
    "true ?\n1 : 2",
    "(true\n? 1\n: 2)",
    "[for x in [1] :\n  x\n]",
    "[\n  1,\n  2\n]",
    "/* c */ 1",
    "1 # c",
    "1 // c",
)
"""Expressions of several lines, and comments."""


def cases() -> Iterator[str]:
    """Yield the expressions, each once."""
    yield from dict.fromkeys([*_written(), *_combined()])


def selected() -> Iterator[str]:
    """Yield the cases of the table: all that are written out, and a share of the combinations."""
    dice = random.Random("selected")
    yield from dict.fromkeys([*_written(), *(each for each in _combined() if dice.random() < SHARE)])


def _written() -> Iterator[str]:
    for name in ("constructs.txt", "function_calls.txt"):
        yield from (HERE / name).read_text("utf-8").splitlines()
    yield from BLOCKS


def _combined() -> Iterator[str]:
    for name, argument in product(UNARY, ODD):
        yield f"{name}({argument})"
    for operator, operands in BINARY.items():
        for left, right in product(operands.split(), repeat=2):
            yield f"{left} {operator} {right}"
    for yes, no in product(BRANCHES, repeat=2):
        yield f"true ? {yes} : {no}"
        yield f"local.ub ? {yes} : {no}"
    for first, second in product(BRANCHES[:-1], repeat=2):
        yield f"tolist([{first}, {second}])"
