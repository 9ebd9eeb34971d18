import json
import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from polyscale.backtesting.measures import Absent
from polyscale.evaluation.bootstrap import Interval
from polyscale.evaluation.deflated_sharpe import SharpeScore
from polyscale.evaluation.overfitting import Overfitting
from polyscale.evaluation.trade_order import Spread, TradeOrder
from polyscale.evaluation.trading.random_entries import RandomEntries, Standing
from polyscale.evaluation.trading.sensitivity import Variation
from polyscale.report import palette
from polyscale.report.page import render
from polyscale.report.search import deflated, overfitting
from polyscale.report.sensitivity import robustness, room_for_costs
from polyscale.report.strategies import strategies_section
from polyscale.report.timing import timing
from polyscale.report.trade_order import order_of_trades
from polyscale.report.trust import trust_section
from polyscale.report.when import when_section
from polyscale.report.wording import interval, number, percent
from tests.report.sample import RULES, report_input
from tests.report.test_page import MIB, SECTIONS, figures, own_part
from tests.report.test_walk_page import section

STUDIED = [name for name in SECTIONS for name in ((name,) if name != "risk" else ("trust", "when", "risk"))]
NARROW = Spread(-0.1, 0.0, 0.1)


@pytest.fixture(scope="module")
def told():
    return report_input(rules=RULES)


@pytest.fixture(scope="module")
def page(told):
    return render(told)


@pytest.fixture(scope="module")
def study(told):
    return told.symbols[0].study


def with_line(study, name, over_hold):
    """The study with another interval of one line."""
    lines = tuple(
        replace(line, over_hold=over_hold) if line.name == name else line for line in study.comparison.lines
    )
    return replace(study, comparison=replace(study.comparison, lines=lines))


def text_of(found):
    return " ".join([*found.lead, *(text for _, text in found.points), *(t.caption for t in found.tables)])


def unknown_words(page):
    """Words that a number which does not exist would leave in text, tables and figures."""
    return re.findall(r"\b(?:NaN|nan|None|Infinity|inf)\b", own_part(page))


def test_sections_of_a_study_come_after_the_trades(page):
    assert re.findall(r'<section id="([\w-]+)">', page) == STUDIED


def test_no_number_that_does_not_exist_is_on_the_page(page):
    assert not unknown_words(page)
    assert len(page.encode()) < 5.3 * MIB


def test_figures_use_the_palette_and_few_points(page):
    for figure in figures(page):
        go.Figure(figure)
        colours = set(re.findall(r'"(#[0-9a-f]{3,8}|rgba?\([^"]*\))"', json.dumps(figure)))
        assert colours <= {*palette.SWAPS, "rgba(0,0,0,0)"}
        assert all(len(trace.get("x") or []) <= 1500 for trace in figure["data"])


def test_a_table_has_every_line_with_its_measures_and_interval(study):
    (table,) = strategies_section(study).tables
    assert [row[0] for row in table.rows] == [
        "1h", "4h, traded", "1d", "combined", "buy and hold", "volatility-managed hold",
    ]  # fmt: skip
    for row, line in zip(table.rows, study.comparison.lines, strict=True):
        assert row[1] == percent(line.result.total_return, 2, signed=True)
        assert row[3] == number(line.result.sharpe_ratio)
        assert row[-2:] == (number(line.result.n_trades, 0), percent(line.result.costs.total_share, 2))
        if line.name != "buy and hold":
            assert row[2] == interval(line.over_hold, 1, factor=1e4, signed=True)


def test_equity_of_every_line_ends_where_its_account_does(study):
    (picture,) = strategies_section(study).pictures
    ends = sorted(round(float(trace.y[-1]), 3) for trace in picture.figure.data)
    assert ends == sorted(round(100 * line.result.total_return, 3) for line in study.comparison.lines)


@pytest.mark.parametrize(
    ("over_hold", "said"),
    [
        (Interval(0.001, -0.001, 0.003, 0.95), "No line earned more or less a day than holding"),
        (Interval(0.001, 0.0005, 0.003, 0.95), "4h earned more a day than holding"),
        (Interval(-0.001, -0.003, -0.0005, 0.95), "4h earned less a day than holding"),
    ],
)
def test_only_an_interval_clear_of_zero_is_told_as_a_difference(study, over_hold, said):
    lead = strategies_section(with_line(study, "4h", over_hold)).lead[1]
    assert said in lead
    assert "best of 5 lines is the best by chance as well" in lead


def test_trust_asks_six_questions_and_shows_what_has_a_picture(study):
    found = trust_section(study)
    assert [head for head, _ in found.points] == [
        "Timing", "Order of trades", "Room for costs", "Other costs, or late", "Sharpe ratio, deflated",
        "Overfitting",
    ]  # fmt: skip
    assert len(found.pictures) == 3
    assert len(found.tables[0].rows) == len(study.variations) == 10


@pytest.mark.parametrize(
    ("p_value", "told"),
    [
        (0.3, "cannot be told from chance"),
        (0.01, "one in 20 looks so too"),
        (0.99, "the timing did harm"),
    ],
)
def test_timing_is_called_better_than_chance_by_small_p_values_alone(p_value, told):
    standing = Standing(0.05, NARROW, 1 - p_value, p_value)
    assert told in timing(RandomEntries(20, 100, standing, standing), 0.95).text


def test_timing_that_one_of_two_measures_doubts_is_not_called_better():
    sure, unsure = Standing(0.05, NARROW, 0.99, 0.01), Standing(0.05, NARROW, 0.8, 0.2)
    assert "cannot be told from chance" in timing(RandomEntries(20, 100, sure, unsure), 0.95).text


def test_a_missing_sharpe_ratio_of_the_timing_leaves_the_return():
    found = timing(RandomEntries(2, 100, Standing(0.0, NARROW, 0.5, 0.5), Absent("it is flat")), 0.95)
    assert "no Sharpe ratio: it is flat" in found.text
    assert len(found.pictures[0].figure.data) == 3


def test_room_for_costs_is_the_break_even_over_what_was_charged(study):
    ledger = study.line.result.ledger
    charged = 1e4 * (ledger["fee"].sum() + ledger["slippage"].sum()) / ledger["traded"].sum()
    assert charged == pytest.approx(6.5, rel=0.01)
    told = room_for_costs(2 * charged, study.line.result).text
    assert "6.5 bps of the value traded were charged" in told
    assert "2.0 times as high" in told
    assert "at 50 % of that to come out even" in room_for_costs(charged / 2, study.line.result).text
    assert (
        "loses even at no cost" in room_for_costs(Absent("it loses even at no cost"), study.line.result).text
    )


def test_a_return_that_changes_its_sign_is_told_with_what_changes_it(study):
    rows = (Variation(1, 1, 0, 0.02, 1.0, 0.1), Variation(2, 1, 0, -0.01, None, 0.1, "it is flat"))
    assert "other sign with fees × 2" in robustness(rows, study.line.result).text
    assert "keeps its sign" in robustness(rows[:1], study.line.result).text
    assert robustness(rows, study.line.result).tables[0].rows[1] == ("Fees × 2", "−1.00 %", "–", "10.0 %")


@pytest.mark.parametrize(
    ("percentile", "told"), [(0.01, "was lucky"), (0.5, "like others"), (0.99, "came in runs, or")]
)
def test_the_order_of_trades_is_told_by_its_place_among_others(percentile, told):
    spread = Spread(0.1, 0.2, 0.3)
    order = TradeOrder(20, 0.1, 0.15, percentile, spread, spread, spread, 0.25, 0.03, 0.5)
    text = order_of_trades(order).text
    assert told in text
    assert "25 % end with a loss and 3 % fall by 50 % or more" in text


def test_a_deflated_ratio_is_claimed_above_the_level_alone():
    assert "no more than such a search" in deflated(SharpeScore(0.1, 0.9, 0.2, 0.4, 90, 30), 0.95).text
    assert "more than the best of so many" in deflated(SharpeScore(0.4, 1.0, 0.2, 0.99, 90, 30), 0.95).text


@pytest.mark.parametrize(
    ("probability", "told"), [(0.04, "helped here"), (0.1, "Noise gives this as well"), (0.95, "did badly")]
)
def test_overfitting_is_told_with_how_noisy_it_is(probability, told):
    text = overfitting(Overfitting(probability, 0.4, None, np.zeros(1), 30, 100)).text
    assert told in text
    assert "for pure noise it ranges from about 0.05 to 0.9" in text


def test_months_are_those_of_the_study_and_colours_go_by_the_interval(study):
    found = when_section(study)
    names = [row[0].replace("\N{NON-BREAKING HYPHEN}", "-") for row in found.tables[0].rows]
    assert names == [part.name for part in study.by_month]
    assert [row[4] for row in found.tables[0].rows] == [
        interval(part.excess_a_day, 1, factor=1e4, signed=True) for part in study.by_month
    ]
    dots = found.pictures[2].figure.data[-1]
    intervals = [part.excess_a_day for part in study.by_hour]
    assert [colour == palette.GOOD for colour in dots.marker.color] == [one.above(0.0) for one in intervals]
    assert [colour == palette.BAD for colour in dots.marker.color] == [one.below(0.0) for one in intervals]
    assert list(dots.y) == pytest.approx([1e4 * part.excess_a_day.mean for part in study.by_hour])


@pytest.mark.parametrize(
    ("low", "high", "more_is_better", "colour"),
    [
        (0.1, 0.2, True, palette.GOOD),
        (0.1, 0.2, False, palette.BAD),
        (-0.2, -0.1, True, palette.BAD),
        (-0.2, 0.1, True, palette.BASELINE),
        (0.0, 0.1, True, palette.BASELINE),
        (None, None, True, palette.BASELINE),
    ],
)
def test_a_colour_says_on_which_side_the_whole_interval_is(low, high, more_is_better, colour):
    assert palette.colour_of(low, high, 0.0, more_is_better=more_is_better) == colour


def test_direct_labels_do_not_lie_on_one_another_and_stay_inside():
    figure = go.Figure()
    labels = [(str(i), 1.0, palette.INK) for i in range(5)] + [("far", 0.0, palette.INK)]
    palette.direct_labels(figure, labels, 1.0, gap=0.1, within=(0.0, 1.0))
    heights = [label.y for label in figure.layout.annotations]
    assert min(np.diff(heights)) >= 0.1 - 1e-9
    assert max(heights) <= 1.0 + 1e-9
    assert heights[0] == 0.0


def test_a_study_that_is_not_there_is_one_sentence(told):
    one = replace(told.symbols[0], study=Absent("the test is shorter than 2 days"))
    text = section(render(replace(told, symbols=[one])), "strategies")
    assert text.count("<p>") == 1
    assert "the test is shorter than 2 days." in text
    assert "chart" not in text


def test_a_strategy_without_a_trade_is_told_with_reasons():
    page = render(report_input(days=8, rules=RULES.model_copy(update={"edge_over_cost": 1e3})))
    assert not unknown_words(page)
    trust = section(page, "trust")
    assert trust.count("Not told: nothing was traded.") == 3
    assert "0 closed trades are fewer than 10" in trust
    assert "chart" not in trust
    assert "No Sharpe ratio of 1h, 4h, 1d and combined: returns do not vary." in section(page, "strategies")


def test_two_days_of_test_have_dashes_and_no_claim():
    page = render(report_input(days=2, rules=RULES))
    assert not unknown_words(page)
    assert "There is no interval of what a line earned" in section(page, "strategies")
    assert "returns have less than one in a tail" in section(page, "risk")


def test_one_day_without_a_study_still_has_its_risk():
    page = render(report_input(days=1))
    assert not unknown_words(page)
    assert "1 day" in section(page, "risk")


def test_stops_leave_the_combined_line_out_with_its_reason():
    page = render(report_input(days=10, rules=RULES.model_copy(update={"stop_loss": 1.0})))
    strategies = section(page, "strategies")
    assert not unknown_words(page)
    assert "<td>combined</td><td>–</td>" in strategies
    assert "Not there, combined: positions with a limit, stop or take-profit cannot be summed" in strategies
    assert "(combined)" not in strategies
    assert "<td>stop</td>" in section(page, "trades")


def test_nothing_in_words_claims_what_an_interval_does_not_show(study):
    for found in (strategies_section(study), when_section(study)):
        assert "clear of zero" in text_of(found) + " ".join(p.caption for p in found.pictures)
