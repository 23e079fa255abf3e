"""The table of a sweep: every call, the reasons for skipped ones, and only versions that were run."""

from __future__ import annotations

import re
from pathlib import Path

from versions.sweep import END, FAILED, PASSED, ROOT, ROUTES, START, Cell, Table, cells, versions

REPORT = """
<testsuites><testsuite>
  <testcase name="test_the_same[proxy-suffix-chat-whole]"/>
  <testcase name="test_the_same[SDK async-auto-chat-stream]">
    <properties><property name="but" value="its price is wrong"/></properties>
  </testcase>
  <testcase name="test_the_same[Router sync-parameter-responses-whole]"><failure message="no"/></testcase>
  <testcase name="test_the_same[proxy-auto-messages-stream]"><error message="no proxy"/></testcase>
  <testcase name="test_the_same[SDK async-auto-messages-stream]"><skipped message="no fastapi"/></testcase>
  <testcase name="test_something_else[positional arguments]"/>
</testsuite></testsuites>
"""


def test_a_report_tells_of_each_call(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert list(cells(report)) == [
        Cell("proxy", "chat", "", PASSED, ""),
        Cell("library", "chat", "stream", PASSED, "its price is wrong"),
        Cell("library", "responses", "", FAILED, ""),
        Cell("proxy", "messages", "stream", FAILED, ""),
        Cell("library", "messages", "stream", "no fastapi", ""),
    ]


def test_the_table_counts_calls_and_says_why_others_were_left_out() -> None:
    skipped = [Cell("proxy", route, stream, "no proxy", "") for route in ROUTES for stream in ("", "stream")]
    tried = [Cell("library", "chat", "", PASSED, ""), Cell("library", "chat", "", FAILED, "")]
    noted = [Cell("library", "chat", "stream", PASSED, ""), Cell("library", "chat", "stream", PASSED, "wrong price")]
    lines = Table().text({"1.84.0": [*skipped, *tried, *noted]}).splitlines()
    assert lines[2] == "| 1.84.0 | proxy |" + " - a |" * 8
    assert lines[3].startswith("| 1.84.0 | library | 1/2 b | 2/2 c | -")
    assert lines[4:] == ["", "a: no proxy.", "", "b: failed.", "", "c: wrong price."]


def test_versions_are_told_the_oldest_first() -> None:
    assert versions()[0] == "1.84.0"
    assert versions().index("1.99.4") < versions().index("1.102.4")


def test_the_page_tells_of_every_version_and_of_no_failure() -> None:
    page = (ROOT / "docs" / "versions.md").read_text()
    table = page.partition(START)[2].partition(END)[0]
    assert list(dict.fromkeys(re.findall(r"^\| (\d\S+) \|", table, re.MULTILINE))) == versions()
    assert FAILED not in table
