import json
import re

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from polyscale.evaluation.bootstrap import Interval
from polyscale.market.errors import DataError
from polyscale.report.page import render
from polyscale.report.palette import SWAPS
from polyscale.report.wording import bounds, interval, joined, number, percent, price
from tests.report.sample import report_input

SECTIONS = (
    "verdict", "fan", "weights", "attention", "equity", "costs", "trades", "strategies", "risk", "baselines",
    "calibration", "training", "provenance",
)  # fmt: skip
EVIL = "<script>alert(1)</script>"
MIB = 2**20


@pytest.fixture(scope="module")
def page():
    return render(report_input())


@pytest.fixture(scope="module")
def quiet_page():
    return render(report_input(symbols=("AAA", "BBB"), days=8, trading=False, simulated=False, history=[]))


def own_part(text):
    """The page without Plotly's script, which is full of addresses that it never asks."""
    return re.sub(r"<script>/\*\*\n\* plotly\.js.*?</script>", "", text, flags=re.DOTALL)


def figures(text):
    return [
        json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', text)
    ]


def test_page_has_every_section_in_order(page):
    assert tuple(re.findall(r'<section id="([\w-]+)">', page)) == SECTIONS


def test_page_asks_the_network_for_nothing(page):
    text = own_part(page)
    assert len(text) < len(page) - 4 * MIB
    assert "http://" not in text
    assert "https://" not in text
    assert not re.search(r"<link|<img|<iframe|@import|url\(|\ssrc=", text)
    assert "default-src 'none'" in text
    assert all(address.startswith("#") for address in re.findall(r'href="([^"]*)"', text))


def test_page_is_light(page, quiet_page):
    assert len(page.encode()) < 6 * MIB
    assert len(quiet_page.encode()) < 6 * MIB


def test_plotly_is_inside_once(page):
    assert page.count("* plotly.js v") == 1


def test_text_is_escaped_everywhere():
    changes = {
        "title": EVIL,
        "verdict": [EVIL, f"Volatility: {EVIL}"],
        "provenance": {EVIL: EVIL},
        "config_yaml": f"name: {EVIL}",
    }
    text = own_part(render(report_input(symbols=(EVIL,), days=4, **changes)))
    assert EVIL not in text
    assert text.count("&lt;script&gt;") >= 7


def test_a_simulated_market_is_announced_and_a_real_one_is_not(page, quiet_page):
    assert "market on this page is simulated" in page
    assert "market on this page is simulated" not in quiet_page


def test_verdict_and_its_figures_are_told(page):
    assert "The test shows " in page
    assert page.count("<li>") + page.count("<li class") >= 8
    assert "QLIKE" in page


def test_figures_are_such_as_plotly_accepts_and_use_the_palette_only(page):
    found = figures(page)
    assert len(found) == 11
    allowed = set(SWAPS) | {"rgba(0,0,0,0)"}
    for figure in found:
        go.Figure(figure)  # validates every name and value
        colours = set(re.findall(r'"(#[0-9a-f]{3,8}|rgba?\([^"]*\))"', json.dumps(figure)))
        assert colours <= allowed, colours - allowed


def test_long_series_are_thinned(page):
    for figure in figures(page):
        for trace in figure["data"]:
            assert len(trace.get("x") or []) <= 1500


def test_tables_name_network_and_baselines_with_intervals(page):
    assert re.search(r"<td>network</td><td>0\.\d{4} \[0\.\d{4}, 0\.\d{4}\]</td>", page)
    for name in ("base", "log-HAR", "last value"):
        assert f"<td>{name}</td>" in page
        assert f"network − {name}" in page


def test_run_without_trades_shows_dashes_with_their_reasons(quiet_page):
    assert "did not trade in this test" in quiet_page
    assert "<td>–</td>" in quiet_page
    assert "A dash is a number that does not exist." in quiet_page


def test_two_symbols_have_chapters_of_their_own(quiet_page):
    ids = re.findall(r'\sid="([\w-]+)"', own_part(quiet_page))
    assert len(ids) == len(set(ids))
    assert {"s0-top", "s1-top", "s0-fan", "s1-fan"} <= set(ids)


def test_a_run_without_history_says_so(quiet_page):
    assert "no history of a training" in quiet_page


def test_nested_provenance_and_unknown_values_are_written_out(page):
    assert "torch 2.13.0, polars 2.1.0" in page
    assert "<td>commit</td><td>unknown</td>" in page


def test_horizon_without_a_single_label_still_renders():
    text = render(report_input(days=1))
    assert "Not judged, no origin" in text


def test_losses_that_are_not_finite_are_left_out_of_the_history():
    rows = [{"epoch": 1, "train_loss": float("nan"), "val_loss": None}, {"epoch": 2, "train_loss": 1.0}]
    assert "Loss by epoch" in render(report_input(days=4, history=rows))


@pytest.mark.parametrize("what", ["symbols", "bars"])
def test_nothing_to_tell_is_refused(what):
    report = report_input(days=4)
    if what == "symbols":
        object.__setattr__(report, "symbols", [])
    else:
        object.__setattr__(report.symbols[0], "bars", pl.DataFrame(schema=report.symbols[0].bars.schema))
    with pytest.raises(DataError, match="a report needs"):
        render(report)


def test_numbers_read_as_people_write_them():
    assert number(-1234.5) == "−1,234.50"
    assert number(-0.001, signed=True) == "0.00"
    assert percent(0.0512, signed=True) == "+5.1 %"
    assert number(None) == "–"
    assert [price(value) for value in (112.04, 97000.5, 0.000012345)] == [
        "112.04",
        "97,000.50",
        "0.000012345",
    ]
    assert interval(Interval(0.5, None, None, 0.95, "few")) == "0.5000 [–]"
    assert bounds(Interval(0.5, 0.4, np.float64(0.6), 0.95), 1) == "[0.4, 0.6]"
    assert joined(["a", "b", "c"]) == "a, b and c"
