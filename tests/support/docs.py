"""Tables in docs. A test run writes them with ``UPDATE_DOCS=1``, and otherwise compares them with its results."""

from __future__ import annotations

import os
from pathlib import Path

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def expect_table(page: Path, table: str) -> None:
    """Check that the page has this table, or write it."""
    before, _, rest = page.read_text().partition(BEGIN)
    shown, _, after = rest.partition(END)
    if "UPDATE_DOCS" in os.environ:
        page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    else:
        assert shown.strip().splitlines() == table.splitlines()
