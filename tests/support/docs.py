"""Tables in docs that a test run writes (``UPDATE_DOCS=1``), or is compared with."""

from __future__ import annotations

import os
from pathlib import Path

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def expect_table(page: Path, table: str) -> None:
    """The page shows this table, or does from now on."""
    before, _, rest = page.read_text().partition(BEGIN)
    shown, _, after = rest.partition(END)
    if "UPDATE_DOCS" in os.environ:
        page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    else:
        assert shown.strip().splitlines() == table.splitlines()
