import re
from dataclasses import replace

import numpy as np
import pytest

from polyscale.report.page import render
from polyscale.report.portfolio import held_weights, sleeves_section, weights_over_time_section
from polyscale.report.wording import percent
from tests.report.sample import COSTS, portfolio_report, report_input
from tests.report.test_page import figures, own_part
from tests.report.test_study_sections import unknown_words
from tests.report.test_walk_page import section

CHAPTER = ["equity", "weights-held", "sleeves", "costs", "trades", "risk"]


@pytest.fixture(scope="module")
def told():
    return report_input(symbols=("AAA", "BBB", "CCC"), days=12, portfolio=True)


@pytest.fixture(scope="module")
def page(told):
    return render(told)


def test_the_portfolio_comes_first_and_symbols_keep_chapters_of_their_own(page):
    ids = re.findall(r'<section id="([\w-]+)">', page)
    assert ids[1 : 1 + len(CHAPTER)] == [f"all-{name}" for name in CHAPTER]
    assert {"s0-fan", "s1-fan", "s2-fan"} <= set(ids)
    every = re.findall(r'\sid="([\w-]+)"', own_part(page))
    assert len(every) == len(set(every))
    assert 'href="#all-top">Portfolio</a>' in page
    assert not unknown_words(page)


def test_one_symbol_beside_its_portfolio_has_a_prefix():
    page = render(report_input(days=8, portfolio=True))
    assert {"all-equity", "s0-equity"} <= set(re.findall(r'<section id="([\w-]+)">', page))
    assert '<th scope="col">Symbol</th>' not in section(page, "all-trades")


def test_trades_of_several_symbols_name_theirs(page, told):
    text = section(page, "all-trades")
    assert '<th scope="col">Symbol</th>' in text
    assert all(f"<td>{symbol}</td>" in text for symbol in set(told.portfolio.result.trades["symbol"][-20:]))


def test_weights_have_a_panel_each_on_one_scale(told):
    portfolio = told.portfolio.portfolio
    (picture,) = weights_over_time_section(portfolio).pictures
    assert len(picture.figure.data) == 3
    ranges = {tuple(picture.figure.layout[name].range) for name in ("yaxis", "yaxis2", "yaxis3")}
    assert len(ranges) == 1
    assert all(len(trace.x) <= 400 for trace in picture.figure.data)
    gross = np.abs(held_weights(portfolio)).sum(axis=1)
    assert f"{percent(gross.max(), 1)} at most" in picture.caption


def test_exposure_by_horizon_is_the_mean_absolute_target_wanted(told):
    portfolio = told.portfolio.portfolio
    found = sleeves_section(portfolio)
    wanted = np.abs(portfolio.wanted).mean(axis=0)
    assert np.asarray(found.pictures[0].figure.data[0].z) == pytest.approx(100 * wanted.T)
    first = found.tables[0].rows[0]
    assert first[:3] == ("AAA", percent(wanted[0, 0]), percent(wanted[1, 0]))
    assert found.tables[0].head == ("Symbol", "1h wanted", "4h wanted", "Held")
    assert found.tables[0].rows[-1][0] == "All"


def test_two_sleeves_of_one_horizon_are_told_apart(told):
    found = sleeves_section(replace(told.portfolio.portfolio, sleeves=("1h", "1h")))
    assert found.tables[0].head[1:3] == ("1h wanted", "1h (2) wanted")


def test_many_symbols_keep_the_page_light():
    symbols = tuple(f"COIN{i}USDT" for i in range(15))
    page = render(report_input(symbols=symbols, days=2, portfolio=True))
    drawn = figures(section(page, "all-weights-held"))[0]
    assert len(drawn["data"]) == 15
    assert sum(len(trace["x"]) for trace in drawn["data"]) <= 2_400
    assert drawn["layout"]["height"] < 900


def test_a_portfolio_that_held_nothing_is_told_in_a_sentence(told):
    empty = portfolio_report(told.symbols, COSTS, rebalance=1.0)
    page = render(replace(told, portfolio=empty))
    assert "Nothing was held" in section(page, "all-weights-held")
    assert "chart" not in section(page, "all-weights-held")
    assert "did not trade" in section(page, "all-trades")
    assert not unknown_words(page)
