"""Plain English: messages, help texts and documentation keep to docs/glossary.md."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PHRASES = (
    r"for ever",
    r"by itself",
    r"at once",
    r"for a while",
    r"under way",
    r"in vain",
    r"it is no (?!longer\b)",
    r"(?<!here )(?:is|are) no (?!longer\b|more\b)\w+",
    r"called so",
    r"(?:was|were|is|are) told",
    r"(?:of|by|to|as) a whole",
    r"(?:created|taken|for) whole(?! number)",
    r"wants|wishes|wished",
    r"shall",
    r"is gone",
    r"behind your back",
    r"what is meant",
    r"one (?:has|can|may|does) ",
    r"besides",
)
DOCSTRINGS = (
    r"as (?:it|they) came",
    r"by the word of",
    r"go(?:es)? on(?! top\b)",
    r"in silence",
    r"lets? go",
    r"now and then",
    r"on (?:its|their) way",
    r"once more",
    r"puts out",
    r"(?:is|are) gone",
    r"so many (?:\w+ )?(?:rows|changes|batches|digits|are|is|at most)",
    r"(?:what|all) (?:becomes?|became|was said) of",
    r"(?:was|were|has been|have been) said",
    r"com(?:es?|ing) again",
    r"none such",
)
"""Phrases that a docstring has no use for either: "as it came" is "unmodified", "goes on" is "continues"."""
SINGLE = tuple(
    line.split("->")[0] for line in (ROOT / "docs" / "house-words.txt").read_text("utf-8").splitlines() if "->" in line
)
SPEECH = "said|says|told|tells|telling|asked|asking|wanted|wants|wishes|knowing|knows|heard|spoken|speaks|meant"
HOUSE_NAMES = "whole|looking|stock|mine|ours|theirs|whose|nobody|somebody|anybody|everybody|mend|mends"
IDENTIFIER_WORDS = frozenset(f"{SPEECH}|{HOUSE_NAMES}".split("|"))
"""Words that no variable, parameter, attribute, function or class has in its name: what it holds has a name."""
PUBLIC_IDENTIFIERS = frozenset(
    {
        "NOT_WANTED_BY_TASK",  # a reason in the format of plans
        "SaidAll",  # of the SDK, as are the next three
        "WHOLE",
        "said",
        "says",
    }
)
"""Names that others may have written down; `said` and `says` in the kit for tests of providers alone."""
TRANSLATED = re.compile(rf"\b(?:{'|'.join(DOCSTRINGS)})\b", re.IGNORECASE)
WORDS = re.compile(rf"\b(?:{'|'.join(SINGLE)})\b", re.IGNORECASE)
HOUSE = re.compile(rf"\b(?:{'|'.join([*SINGLE, *PHRASES])})\b", re.IGNORECASE)

PAGES = sorted(
    [
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*.md"),
        *ROOT.glob("changelog.d/*.md"),
        *ROOT.glob("providers/*/*.md"),
        *ROOT.glob("state/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
CODE = sorted(
    path
    for top in ("dstream", "state/dstream_state", "providers")
    for path in (ROOT / top).rglob("*.py")
    if "tests" not in path.parts and "testing" not in path.parts
)


EXEMPT = ("docs/glossary.md",)
"""Pages that show the words on purpose."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def hits_of_page(path: Path) -> Iterator[str]:
    """Yield the house words of a page outside of code."""
    text = re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), path.read_text("utf-8"), flags=re.DOTALL)
    for number, line in enumerate(text.splitlines(), 1):
        for found in HOUSE.finditer(re.sub(r"`[^`]*`", "``", line)):
            yield f"{path.relative_to(ROOT)}:{number}: {found[0]!r} in: {line.strip()}"


def hits_of_code(path: Path) -> Iterator[str]:
    """Yield the single words anywhere in a module, and the phrases in its messages and help (docstrings of `cli`)."""
    source = path.read_text("utf-8")
    for found in WORDS.finditer(source):
        number = source.count("\n", 0, found.start()) + 1
        yield f"{path.relative_to(ROOT)}:{number}: {found[0]!r} in: {source.splitlines()[number - 1].strip()}"
    tree = parsed(path)
    helps = path.is_relative_to(ROOT / "dstream" / "cli")
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    } | {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (helps or id(node) not in docstrings):
            for found in HOUSE.finditer(node.value):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {found[0]!r} in: {' '.join(node.value.split())[:120]}"


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each name that a module binds, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


@cache
def words_of(identifier: str) -> set[str]:
    """Return the words of a name in snake case, camel case or capitals."""
    return set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", identifier).lower().split("_"))


def hits(path: Path) -> list[str]:
    return [*(hits_of_page(path) if path.suffix == ".md" else hits_of_code(path))]


def docstrings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each docstring, of attributes too, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield " ".join(node.value.value.split()), node.lineno


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_messages_help_and_pages_have_no_house_words():
    """The words to use instead are in docs/glossary.md and docs/house-words.txt."""
    clean = [path for path in [*PAGES, *CODE] if not name(path).startswith(EXEMPT)]
    assert [hit for path in clean for hit in hits(path)] == []


def test_docstrings_have_no_phrases_of_a_translation():
    found = [
        f"{name(path)}:{line}: {hit[0]!r} in: {text[max(0, hit.start() - 50) : hit.end() + 50]}"
        for path in CODE
        for text, line in docstrings(parsed(path))
        for hit in TRANSLATED.finditer(text)
    ]
    assert found == []


def test_identifiers_name_what_they_hold():
    """A variable is `diagnostics`, `expected` or `stop_requested`, not `said`, `wanted` or `asked`."""
    found = [
        f"{name(path)}:{line}: {identifier}"
        for path in CODE
        for identifier, line in identifiers(parsed(path))
        if words_of(identifier) & IDENTIFIER_WORDS
        and not (identifier in PUBLIC_IDENTIFIERS and (identifier.isupper() or "dstream_sdk" in path.parts))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    ["said = 1", "self._told = 1", "def as_asked(): ...", "def f(*, wanted): ...", "class HeardAll: ...", "_OURS = 1"],
)
def test_house_words_in_identifiers_are_found(source):
    assert any(words_of(identifier) & IDENTIFIER_WORDS for identifier, _ in identifiers(ast.parse(source)))


@pytest.mark.parametrize(
    "text", ["Mend it with: x", "nobody knows", "it stops at once", "It is no address.", "No task is called so."]
)
def test_house_words_are_found(text):
    assert HOUSE.search(text)


@pytest.mark.parametrize(
    "text", ["Lines as they came.", "The task goes on.", "It is gone.", "So many rows at most.", "What became of it."]
)
def test_phrases_of_a_translation_are_found(text):
    assert TRANSLATED.search(text)


@pytest.mark.parametrize(
    "text", ["As many rows as fit.", "It continues.", "So many that it is slow.", "A gone-wrong x."]
)
def test_other_phrases_are_not(text):
    assert not TRANSLATED.search(text)


@pytest.mark.parametrize(
    "text", ["It is no longer tainted.", "There is no report.", "A whole number.", "Fix it.", "Among once-used names."]
)
def test_other_words_are_not(text):
    assert not HOUSE.search(text)
