"""What a run came to, as plain data and in words."""

import pytest

import polyscale
from polyscale.backtesting.engine import Asset, Exchange
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.tell import portfolio_dict, study_sentences
from polyscale.report.page import PortfolioReport
from polyscale.strategy.portfolio import build_portfolio
from polyscale.strategy.settings import StrategySettings
from tests.strategy.test_portfolio import portfolio_settings, sleeve, two_markets

COSTS = BacktestSettings(fee_bps=5, slippage_bps=1, assumed_funding_8h=0)


def test_two_sleeves_of_one_horizon_are_both_told():
    forecasts, bars = two_markets(60)
    sleeves = [sleeve("4h", 0.5), sleeve("4h", 0.25, every="1d")]
    portfolio = build_portfolio(forecasts, bars, portfolio_settings(sleeves=sleeves), 0.0)
    exchange = Exchange.open({s: Asset(frame) for s, frame in bars.items()}, Timeframe(60), COSTS)
    result = exchange.run(portfolio.positions, COSTS)

    told = portfolio_dict(PortfolioReport(portfolio, result, result))

    assert list(told["mean_target_by_sleeve"]) == ["4h", "4h (2)"]
    by_sleeve, by_symbol = told["mean_target_by_sleeve"], told["mean_target_by_symbol"]
    assert by_sleeve["4h"] == pytest.approx(0.5)
    assert 2 * sum(by_sleeve.values()) == pytest.approx(sum(by_symbol.values()))


def test_a_forecast_at_no_origin_is_nothing_to_trade():
    _, bars = two_markets(60)
    empty = Forecast.empty((Timeframe(240),), (0.5,), ("1h",))
    with pytest.raises(DataError, match="the forecast is empty"):
        polyscale.study_strategy(empty, bars["AAA"], "1h", StrategySettings(), COSTS)


def told(**changes):
    sharpe = {
        "sharpe": 0.123,
        "num_trials": 73,
        "expected_max": 0.234,
        "deflated": 0.345,
        "probabilistic": 0.9,
    }
    place = {"observed": 0.012, "random": {"median": -0.034}, "p_value": 0.456, "percentile": 0.789}
    return {
        "random_entries": {"total_return": place},
        "break_even_bps": {"value": 7.654, "reason": ""},
        "significance": {"sharpe": sharpe, "overfitting": {"probability": 0.567, "num_sets": 73}},
        **changes,
    }


def test_a_study_in_words_has_every_number_in_its_place():
    assert study_sentences(told()) == [
        "Timing: 1.2 % against -3.4 % for the same trades at random times (p = 0.456).",
        "Break-even cost: 7.65 bps of the value traded.",
        "Sharpe ratio per day 0.123; the best of 73 trials without skill is expected at 0.234; "
        "chance that it is more than that: 34.5 %.",
        "Probability of overfitting over 73 sets of rules: 56.7 % "
        "(pure noise gives anything from 5 to 90 %).",
    ]


def test_what_a_study_does_not_know_is_said_with_the_reason():
    absent = {"value": None, "reason": "why"}
    significance = {
        "sharpe": {"sharpe": None, "reason": "few"},
        "overfitting": {"probability": None, "reason": "short"},
    }
    said = study_sentences(told(random_entries=absent, break_even_bps=absent, significance=significance))
    assert [sentence.split(": ")[-1] for sentence in said] == ["why.", "why.", "few.", "short."]
