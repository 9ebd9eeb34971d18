"""What the first page says of the report is what the report has."""

import re

from tests.docs.fences import ROOT


def test_sections_named_on_the_page_are_those_of_the_report(laid):
    page = (ROOT / "docs/start.md").read_text()
    told = page.split("## What the report says")[1].split("\n## ")[0]
    report = next((laid / "runs").glob("*/report.html")).read_text()
    assert re.findall(r"\*\*(.+?)\*\*", told) == re.findall(r"<h2[^>]*>(.+?)</h2>", report)
