"""Tables in docs. A test run writes them with ``UPDATE_DOCS=1``, and otherwise compares them with its results."""

from __future__ import annotations

import os
from pathlib import Path

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def expect_table(page: Path, table: str) -> None:
    """Check that the page has this table, or write it."""
    if not write_table(page, table):
        assert table_in(page) == table.splitlines()


def write_table(page: Path, table: str) -> bool:
    """Write the page's table if ``UPDATE_DOCS`` is set. Return whether it is."""
    if "UPDATE_DOCS" not in os.environ:
        return False
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
    return True


def table_in(page: Path) -> list[str]:
    """The lines of the page's table."""
    return page.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
