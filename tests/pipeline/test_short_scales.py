"""What is said where a scale's history is too short: the chapter's thirty days and its year of days."""

import logging

import pytest

from polyscale.config.run_config import parse_config
from polyscale.market.simulate import simulate_bars
from polyscale.pipeline.learn import fit_scalers, prepare, tell_short_scales
from polyscale.pipeline.load import SymbolBars
from tests.pipeline.small import small


def warnings_of(caplog, days, timeframe, lookback):
    """Scalers of a training with this second scale, and what is logged of it."""
    text = small(days=days).replace(
        "timeframe: 1h, lookback: 8", f"timeframe: {timeframe}, lookback: {lookback}"
    )
    config = parse_config(text, "small")
    prepared = prepare(
        config, [SymbolBars(config.market.markets()[0], simulate_bars(config.market.simulation))]
    )
    scalers, _ = fit_scalers(prepared, config.data)
    with caplog.at_level(logging.WARNING):
        tell_short_scales(prepared, config.data)
    return scalers, [record.getMessage() for record in caplog.records]


def test_thirty_days_cannot_feed_a_year_of_days_and_rows_needed_and_found_are_told(caplog):
    scalers, (said,) = warnings_of(caplog, 30, "1d", 252)
    assert scalers[0] is not None
    assert scalers[1] is None
    assert "scale 1d has no warm row in training and takes no part in this run" in said
    assert "need 51 closed bars of 1d, training has 2" in said  # twenty-odd of the thirty days are trained on
    assert "or native bars of 1d and set native_history" in said


def test_a_scale_that_is_warm_for_less_than_its_lookback_is_told(caplog):
    scalers, (said,) = warnings_of(caplog, 30, "4h", 252)
    assert scalers[1] is not None
    assert "scale 4h looks back 252 bars, training has at most" in said
    assert "older rows are masked" in said


@pytest.mark.parametrize(("timeframe", "lookback"), [("1h", 8), ("4h", 42)])
def test_nothing_is_told_where_history_is_long_enough(caplog, timeframe, lookback):
    assert warnings_of(caplog, 40, timeframe, lookback)[1] == []
