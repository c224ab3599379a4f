"""The parser's table: made by lark from python-hcl2's grammar and hcl.lark, then kept in the user's cache folder.

Making it imports lark and takes half a second; reading it takes some milliseconds and no import. The file's name
carries a hash of all it is made from, so that a stale one is never read.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

STARTS = ("start", "lone_expression", "lone_template")
_OURS = Path(__file__).with_name("hcl.lark")
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One production: its symbol, the name of what it makes, how many parts it takes, and what becomes of them."""

    origin: str
    name: str
    size: int
    splices: bool
    """Its parts become parts of whatever it stands in (rules whose names start with an underscore)."""
    passes: bool
    """A single part stands for itself."""


@dataclass(frozen=True, slots=True)
class Table:
    """An LALR(1) table: by state and terminal, a state to go to (0 or more) or a rule to reduce by (-1 - its index)."""

    actions: tuple[dict[str, int], ...]
    gotos: tuple[dict[str, int], ...]
    rules: tuple[Rule, ...]
    starts: dict[str, int]
    ends: dict[str, int]


def base_grammar() -> Path:
    """Return the path of python-hcl2's grammar, found without importing the package."""
    spec = find_spec("hcl2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("python-hcl2 is not installed; install dstream again")
    return Path(spec.origin).with_name("hcl2.lark")


@cache
def table() -> Table:
    """Return the table, from the cache where there is one."""
    key = _key()
    path = _cache_folder() / f"hcl-{key}.table"
    cached = _read(path)
    if cached is not None:
        return cached
    made = _make()
    _write(path, made)
    return made


def _key() -> str:
    digest = hashlib.sha256(f"{_FORMAT} {sys.version_info[:2]}".encode())
    digest.update(base_grammar().read_bytes())
    digest.update(_OURS.read_bytes())
    return digest.hexdigest()[:24]


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("dstream", appauthor=False)


def _read(path: Path) -> Table | None:
    try:
        data = path.read_bytes()
        plain = marshal.loads(data)  # noqa: S302  # numbers and names only; a wrong one makes a wrong table, runs nothing
        actions, gotos, rules, starts, ends = plain
        return Table(actions, gotos, tuple(Rule(*rule) for rule in rules), starts, ends)
    except (OSError, ValueError, EOFError, TypeError):
        return None


def _write(path: Path, made: Table) -> None:
    rules = tuple((rule.origin, rule.name, rule.size, rule.splices, rule.passes) for rule in made.rules)
    data = marshal.dumps((made.actions, made.gotos, rules, made.starts, made.ends))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except OSError:
        return  # no cache then: the next start makes the table again


def _make() -> Table:
    from lark import Lark
    from lark.load_grammar import FromPackageLoader
    from lark.parsers.lalr_analysis import Shift

    parser = Lark(
        _OURS.read_text(encoding="utf-8"),
        parser="lalr",
        start=list(STARTS),
        import_paths=[FromPackageLoader("hcl2", ("",))],
    )
    lalr = parser.parser.parser._parse_table
    rules: list[Rule] = []
    numbers: dict[object, int] = {}
    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    for state in range(len(lalr.states)):
        terminals: dict[str, int] = {}
        others: dict[str, int] = {}
        for symbol, (action, argument) in lalr.states[state].items():
            name = _plain(symbol)
            if action is not Shift:
                if argument not in numbers:
                    numbers[argument] = len(rules)
                    rules.append(_rule(argument))
                terminals[name] = -1 - numbers[argument]
            elif name.isupper() or name == "$END":
                terminals[name] = argument
            else:
                others[name] = argument
        actions.append(terminals)
        gotos.append(others)
    return Table(tuple(actions), tuple(gotos), tuple(rules), dict(lalr.start_states), dict(lalr.end_states))


def _rule(rule: object) -> Rule:
    origin = _plain(rule.origin.name)  # type: ignore[attr-defined]  # lark's rules have no public type
    alias = rule.alias  # type: ignore[attr-defined]  # as above
    name = _plain(alias) if alias else origin
    single = bool(rule.options.expand1) and not alias  # type: ignore[attr-defined]  # as above
    return Rule(origin, name, len(rule.expansion), origin.startswith("_"), single)  # type: ignore[attr-defined]  # as above


def _plain(name: str) -> str:
    """Return a symbol's name without the prefix that importing gave it."""
    return str(name).replace("hcl2__", "")
