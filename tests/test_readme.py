"""The README and the documentation: every block of code in it is a part of an example that a test runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
BLOCK = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")), *ROOT.glob("*/README.md")]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")


def code(text: str) -> str:
    """The text without an introduction in comments at its top."""
    return text.split("\n\n", 1)[1] if text.startswith("# ") and "\n\n" in text else text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_examples_as_they_are_run(page):
    shown = BLOCK.findall(page.read_text())
    assert [path for path, text in shown if text != code((EXAMPLES / path).read_text())] == []


def test_the_readme_shows_a_provider_in_ten_lines_of_bash_and_of_python():
    blocks = dict(BLOCK.findall((ROOT / "README.md").read_text()))
    for path in ("bash-provider/clock.sh", "python-provider/squares.py"):
        lines = [line for line in blocks[path].splitlines() if line.strip() and not line.startswith("#")]
        assert len(lines) <= 12, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_block_of_hcl_in_the_documentation_is_right():
    from dstream.config import parse_text

    for page in PAGES:
        for block in re.findall(r"```hcl\n(.*?)```", page.read_text(), re.DOTALL):
            assert parse_text(block, str(page)).diagnostics == [], page


def test_every_command_is_described_and_every_option_that_is_described_exists():
    from click import Context, Group

    from dstream.cli.main import root

    page = (ROOT / "docs/commands.md").read_text()
    sections = dict(re.findall(r"^## dstream ([a-z-]+).*?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    context = Context(root)
    assert set(sections) == set(root.list_commands(context))
    for name, text in sections.items():
        command = root.get_command(context, name)
        group = command if isinstance(command, Group) else None
        commands = [group.get_command(context, each) for each in group.list_commands(context)] if group else [command]
        options = {option for each in commands if each for p in each.params for option in (*p.opts, *p.secondary_opts)}
        described = set(re.findall(r"(?<=`)--?[a-z][a-z-]+", text))
        assert described - options == set(), name


def test_the_pages_on_functions_and_locals_name_all_functions_and_reserved_names():
    from dstream.config.decode.decoder import RESERVED_NAMES
    from dstream.lang.functions import registry

    rows = re.findall(r"^\| `(\w+)(\(.*?\))` \| ", (ROOT / "docs/functions.md").read_text(), re.MULTILINE)
    described = {name: usage for name, usage in rows if name in registry.names() and usage != "(name, default)"}
    assert set(described) == set(registry.names())
    for name, usage in described.items():
        function = registry.find(name)
        assert function is not None and function.usage() == name + usage
    reserved = (ROOT / "docs/locals.md").read_text().split("None of these")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", reserved)) == set(RESERVED_NAMES)


WALK = re.compile(r"<!-- walk: (\w+) -->\n((?:\d+\. .*\n)+)")


def test_each_walk_of_the_architecture_is_a_straight_list_of_files_that_exist():
    walks = dict(WALK.findall((ROOT / "docs/architecture.md").read_text()))
    assert set(walks) == {"plan", "apply", "envelope"}
    for name, steps in walks.items():
        files = re.findall(r"^\d+\. `([^`]+)`: ", steps, re.MULTILINE)
        assert len(files) == steps.count("\n") <= 25, name
        assert len(set(files)) == len(files), name
        assert [file for file in files if not (ROOT / file).is_file()] == [], name


def test_the_architecture_names_every_package():
    page = (ROOT / "docs/architecture.md").read_text()
    packages = [path.parent.relative_to(ROOT) for path in (ROOT / "dstream").glob("*/__init__.py")]
    engine = [f"engine/{path.parent.name}" for path in (ROOT / "dstream/engine").glob("*/__init__.py")]
    assert [str(each) for each in packages if f"`{each}" not in page] == []
    assert [each for each in engine if f"`{each}`" not in page] == []


TYPED = re.compile(r"^(?:\$ )?dstream ([^\n#|&;]+)", re.MULTILINE)
INLINE = re.compile(r"`dstream ([^`\n]+)`|^ {4}dstream ([^\n#|&;]+)|&& dstream ([^\n#|&;]+)", re.MULTILINE)
SHELLS = ("", "sh", "bash", "console")
A_MESSAGE = "needs Python 3.11 to 3.14"


def typed_commands(text: str) -> list[str]:
    """Return the command lines of a page: in blocks of shell, in indented blocks, and in the text."""
    shell = [block for language, block in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if language in SHELLS]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = [line for block in shell for line in TYPED.findall(block)]
    found += [next(filter(None, groups)) for groups in INLINE.findall(prose)]
    return [each for each in found if each != A_MESSAGE and not each.startswith(("-", "{"))]


COMMAND_PAGES = [*PAGES, *sorted(ROOT.glob("providers/*/README.md")), ROOT / "docs" / "glossary.md"]


@pytest.mark.parametrize("page", COMMAND_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_exists_with_its_options(page):
    from click import Context, Group

    from dstream.cli.main import root

    context = Context(root)
    for typed in typed_commands(page.read_text()):
        words = typed.split()
        command = root.get_command(context, words[0])
        assert command is not None, typed
        if isinstance(command, Group) and len(words) > 1 and re.fullmatch(r"[a-z-]+", words[1]):
            command = command.get_command(context, words[1])
            assert command is not None, typed
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        known |= {"-h", "-help", "--help"}
        if isinstance(command, Group):
            continue
        given = {word.split("=")[0].rstrip(".,:)") for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known, (typed, given - known)
