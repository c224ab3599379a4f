"""Writes docs/errors.md from the catalogue of error codes: `python -m tests.error_index`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from dstream.error_codes import catalogue

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

HEAD = """\
# Error codes

Every error and warning of dstream has a stable code, such as `DS1203`. Messages show it after the summary, JSON has it
as `code`. A code never changes its meaning; the wording of a summary may change. `dstream explain DS1203` shows
one entry of this page.

What a provider reports in its own words has the code `DS5000`.
"""


def page() -> str:
    """Return the whole page."""
    out = [HEAD]
    for group, entries in groupby(catalogue(), key=lambda each: each.group):
        out.append(f"\n## {group}\n\n| code | summary | meaning |\n|---|---|---|\n")
        out.extend(f"| `{each.code}` | {each.summary} | {each.meaning} |\n" for each in entries)
    return "".join(out)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
