"""The page on a screen of 400 pixels, in a browser; skipped where there is none."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest

from polyscale.report.page import render
from polyscale.report.walk.page import render_walk
from tests.report.sample import RULES, report_input
from tests.report.walk_sample import VARIANTS, walk_plain, walk_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
WIDTH = 400
# what stands out of the page to the right, scrolls sideways, or is written over something else in a figure
MEASURE = """
<script>
const told = () => {
  const found = { wide: [], scrolls: [], over: [], charts: 0 };
  found.width = document.documentElement.scrollWidth;
  for (const each of document.querySelectorAll("body *:not(svg *, thead *)"))
    if (each.getBoundingClientRect().right > innerWidth + 1) found.wide.push(each.outerHTML.slice(0, 80));
  for (const each of document.querySelectorAll(".scroll:not(pre), nav"))
    if (each.scrollWidth > each.clientWidth + 1) found.scrolls.push(each.getAttribute("aria-label"));
  for (const chart of document.querySelectorAll(".chart")) {
    const box = chart.getBoundingClientRect(), name = chart.getAttribute("aria-label").slice(0, 60);
    const texts = [...chart.querySelectorAll("svg text")]
      .map((text) => [text.textContent, text.getBoundingClientRect()])
      .filter(([text, place]) => text.trim() && place.width);
    found.charts += texts.length > 0;
    for (const [text, place] of texts)
      if (place.left < box.left - 1 || place.right > box.right + 1) found.over.push([name, text, "cut off"]);
    texts.forEach(([a, one], i) => texts.slice(i + 1).forEach(([b, two]) => {
      const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
      const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
      if (across > 2 && down > 5) found.over.push([name, a, b]);
    }));
  }
  found.stacked = document.querySelectorAll("table.stacked").length;
  parent.postMessage(found, "*");
};
addEventListener("load", () => setTimeout(told, 500));
</script>
"""
FRAME = """<iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe>
<script>
addEventListener("message", (told) => {{ document.body.dataset.told = JSON.stringify(told.data); }});
</script>
"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here to draw the page")


def page_of(kind):
    if kind == "run":
        return render(report_input(days=40, rules=RULES))
    if kind == "portfolio":
        return render(report_input(symbols=("AAA", "BBB"), days=12, portfolio=True))
    return render_walk(walk_report(walk_plain(variants=VARIANTS, managed=True)))


@pytest.fixture(scope="module", params=["run", "portfolio", "walk-forward"])
def told(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.html").write_text(page_of(request.param).replace("</body>", f"{MEASURE}</body>"))
    (folder / "frame.html").write_text(FRAME.format(width=WIDTH))
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--window-size=900,1000", f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000",
        "--dump-dom", f"file://{folder / 'frame.html'}",
    ]  # fmt: skip
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False).stdout
    found = re.search(r'data-told="([^"]*)"', drawn)
    if found is None:
        pytest.skip("Chromium did not draw the page here")
    return json.loads(unescape(found.group(1)))


def test_nothing_is_wider_than_the_screen(told):
    assert told["width"] == WIDTH
    assert told["wide"] == []


def test_no_table_scrolls_sideways(told):
    assert told["scrolls"] == []
    assert told["stacked"] > 0


def test_no_text_in_a_figure_is_cut_off_or_lies_on_another(told):
    assert told["charts"] > 10
    assert told["over"] == []
