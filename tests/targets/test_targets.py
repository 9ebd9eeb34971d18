import numpy as np
import polars as pl
import pytest

from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from polyscale.targets.targets import make_targets
from tests.oracles.slow_stages import slow_targets

M15, H1, D1 = (Timeframe.parse(text) for text in ("15m", "1h", "1d"))


def test_targets_equal_the_definition(bars):
    short = bars.head(200)
    targets = make_targets(short, M15, [M15, H1])
    for i, ahead in enumerate((1, 4)):
        expected = np.array(slow_targets(short["close"].to_list(), ahead), dtype=float)
        np.testing.assert_allclose(targets.log_return[:, i], expected[:, 0], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(targets.log_variance[:, i], expected[:, 1], rtol=1e-9)


def test_a_label_ends_one_horizon_later_and_no_sooner(bars):
    targets = make_targets(bars, M15, [H1, D1])
    assert np.isfinite(targets.log_return[-5, 0])
    assert np.isnan(targets.log_return[-4:, 0]).all()
    assert np.isnan(targets.log_variance[-96:, 1]).all()


def test_scaled_return_is_in_units_of_the_last_days_volatility(bars):
    targets = make_targets(bars, M15, [H1])
    close = bars["close"].to_numpy()
    day = np.diff(np.log(close[404:501]))
    sigma = np.sqrt(np.mean(day**2 + 1e-10))
    np.testing.assert_allclose(targets.sigma[500], sigma, rtol=1e-9)
    np.testing.assert_allclose(
        targets.scaled_return[500, 0], np.log(close[504] / close[500]) / sigma / 2, rtol=1e-9
    )


def test_no_move_at_all_is_neither_up_nor_down(bars):
    still = bars.with_columns(close=pl.lit(100.0))
    targets = make_targets(still, M15, [H1])
    assert np.isnan(targets.up).all()
    assert np.isfinite(targets.scaled_return[200:-4]).all()


def test_labels_that_cross_a_gap_are_unknown(bars):
    holed = to_grid(pl.concat([bars.head(300), bars.slice(310)]), M15)
    targets = make_targets(holed, M15, [H1])
    assert np.isnan(targets.log_variance[296:310, 0]).all()
    assert np.isfinite(targets.log_variance[295, 0])


def test_a_horizon_must_be_a_multiple_of_the_base(bars):
    with pytest.raises(ConfigError, match="20m must be a whole multiple of 15m"):
        make_targets(bars, M15, [Timeframe(20)])
