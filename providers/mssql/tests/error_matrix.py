"""Writes the table of errors into docs/sqlserver.md: `python -m providers.mssql.tests.error_matrix`."""

from __future__ import annotations

from pathlib import Path

from dstream_mssql.error_table import matrix

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sqlserver.md"
BEGIN, END = "<!-- errors: begin -->\n", "<!-- errors: end -->\n"


def page(text: str) -> str:
    """The page with the table as the code has it."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n" + matrix() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
