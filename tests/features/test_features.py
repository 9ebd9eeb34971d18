import numpy as np
import polars as pl
import pytest

from polyscale.audit import Plan, check
from polyscale.features.catalogue import CATALOGUE, CHAPTER
from polyscale.features.feature import Feature, FeatureSet, select
from polyscale.features.realised import lag, lead, trailing_mean
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid

ALL = select(list(CATALOGUE), CATALOGUE)


def flat(bars, price, volume=0.0):
    prices = [pl.lit(price).alias(name) for name in ("open", "high", "low", "close")]
    return bars.with_columns(*prices, volume=pl.lit(volume), turnover=pl.lit(0.0))


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_feature_is_null_until_warm_and_there_from_then_on(bars, name):
    values = select([name], CATALOGUE).compute(bars)[name]
    warm_up = CATALOGUE[name].warm_up
    assert values.head(warm_up - 1).null_count() == warm_up - 1
    assert values.slice(warm_up - 1).null_count() == 0
    assert values.slice(warm_up - 1).is_finite().all()


def test_no_feature_knows_its_future(bars):
    assert check(ALL.compute, bars.head(900), plan=Plan(truncations=0)).findings == ()


def test_warm_up_is_long_enough_that_older_bars_do_not_matter(bars):
    whole, late = ALL.compute(bars), ALL.compute(bars.slice(500))
    for feature in ALL.features:
        a = whole[feature.name].slice(500 + feature.warm_up).to_numpy()
        b = late[feature.name].slice(feature.warm_up).to_numpy()
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8, err_msg=feature.name)


@pytest.mark.parametrize("price", [1e-8, 1.0, 1e6])
def test_constant_price_and_no_volume_give_finite_values(bars, price):
    values = ALL.compute(flat(bars, price))
    for feature in ALL.features:
        assert values[feature.name].slice(feature.warm_up).is_finite().all(), feature.name


def test_features_do_not_depend_on_the_unit_of_price_or_volume(bars):
    prices = [pl.col(name) * 1e-5 for name in ("open", "high", "low", "close")]
    cheap = bars.with_columns(*prices, volume=pl.col("volume") * 1e5)
    a, b = ALL.compute(bars).tail(100), ALL.compute(cheap).tail(100)
    for name in ALL.names:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_rows_that_need_a_missing_bar_are_null(bars):
    holed = to_grid(pl.concat([bars.head(300), bars.slice(301)]), Timeframe(15))
    values = select(["ma_20_ratio"], CATALOGUE).compute(holed)["ma_20_ratio"]
    assert values.is_null().to_list()[299:321] == [False] + [True] * 20 + [False]


def test_simple_rsi_is_the_chapters_rescaled(bars):
    close = bars["close"].to_numpy()
    change = np.diff(close[-15:])
    gain, loss = change[change > 0].sum() / 14, -change[change < 0].sum() / 14
    expected = (100 - 100 / (1 + gain / loss) - 50) / 50
    np.testing.assert_allclose(
        select(["rsi_simple"], CATALOGUE).compute(bars)["rsi_simple"][-1], expected, rtol=1e-9
    )


def test_wilders_rsi_is_the_recursion(bars):
    close = bars["close"].to_numpy()
    change = np.diff(close)
    gain = loss = 0.0
    for move in change[-600:]:
        gain += (max(move, 0) - gain) / 14
        loss += (max(-move, 0) - loss) / 14
    found = select(["rsi"], CATALOGUE).compute(bars)["rsi"][-1]
    np.testing.assert_allclose(found, (gain - loss) / (gain + loss), rtol=1e-8)


def test_the_chapters_set_is_in_the_catalogue():
    assert set(CHAPTER) <= set(CATALOGUE)


def test_a_user_adds_a_feature_in_three_lines(bars):
    own = Feature("gap", (pl.col("open") / pl.col("close").shift(1)).log(), 2, "open against the last close")
    values = select(["gap", "rsi"], CATALOGUE, [own]).compute(bars)
    assert values.columns == ["close_time", "gap", "rsi"]


def test_unknown_and_doubled_names_are_refused():
    with pytest.raises(ConfigError, match=r"got \['nope'\]"):
        select(["nope"], CATALOGUE)
    with pytest.raises(ConfigError, match="more than once"):
        FeatureSet((CATALOGUE["rsi"], CATALOGUE["rsi"]))


@pytest.mark.parametrize("bars_in_window", [1, 2, 3, 7, 12, 288])
def test_trailing_mean_is_the_mean_of_the_window(bars_in_window):
    values = np.random.default_rng(0).random(500)
    found = trailing_mean(values, bars_in_window)
    assert np.isnan(found[: bars_in_window - 1]).all()
    for t in (bars_in_window - 1, 400, 499):
        np.testing.assert_allclose(found[t], values[t - bars_in_window + 1 : t + 1].mean(), rtol=1e-12)


def test_lag_and_lead_move_by_rows():
    values = np.arange(4.0)
    np.testing.assert_array_equal(lag(values, 1), [np.nan, 0, 1, 2])
    np.testing.assert_array_equal(lead(values, 1), [1, 2, 3, np.nan])
    assert np.isnan(lead(values, 9)).all()
    assert np.isnan(lag(values, 9)).all()


def test_shift_beyond_the_rows_is_nothing():
    values = np.arange(3.0)
    assert np.isnan(lag(values, 5)).all()
    assert np.isnan(lead(values, 5)).all()
    assert lag(values, 1)[1:].tolist() == [0.0, 1.0]
