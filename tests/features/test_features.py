"""Every feature of the catalogue: warm-up, units, gaps, extremes; and some against an outside definition."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from polyscale.features.catalogue import CATALOGUE, CHAPTER, GROUPS
from polyscale.features.context import Context, add_context, market_level, with_funding
from polyscale.features.feature import Feature, FeatureSet, compute_scales, select
from polyscale.features.inputs import Inputs
from polyscale.features.probe import changed, probe
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid

M15 = Timeframe(15)
ALL = select(list(CATALOGUE), CATALOGUE)


def funding_for(bars):
    every = bars.filter(pl.col("close_time").dt.epoch("ms") % (8 * 3_600_000) == 0)["close_time"]
    first = every[0] - pl.duration(days=8)
    times = pl.datetime_range(pl.select(first).item(), every[-1], "8h", time_unit="ms", eager=True)
    return pl.DataFrame({"time": times, "funding_rate": 1e-4 * np.sin(np.arange(len(times)))})


@pytest.fixture(scope="module")
def around(bars):
    """Bars with all context, as a scale's features see them."""
    other = simulate_bars(SimulationSettings(days=40, timeframe=M15, seed=5))
    return add_context(to_grid(bars, M15), Context(funding_for(bars), {"OTHER": other}))


@pytest.fixture(scope="module")
def rows(around):
    return ALL.compute(around, M15)


def flat(bars, price, volume=0.0):
    prices = [pl.lit(price).alias(name) for name in ("open", "high", "low", "close")]
    return bars.with_columns(*prices, volume=pl.lit(volume), turnover=pl.lit(0.0))


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_feature_is_null_until_warm_and_there_from_then_on(rows, name):
    warm = CATALOGUE[name].warm_bars(M15)
    assert rows[name].head(warm - 1).null_count() == warm - 1
    assert rows[name].slice(warm).null_count() == 0  # the market begins one bar later
    assert rows[name].drop_nulls().is_finite().all()


def test_warm_up_is_long_enough_that_older_bars_do_not_matter(around, rows):
    start = 300
    late = ALL.compute(around.slice(start), M15)
    for feature in ALL.features:
        warm = feature.warm_bars(M15)
        a, b = (frame[feature.name].to_numpy() for frame in (rows.slice(start + warm), late.slice(warm)))
        scale = np.nanmedian(np.abs(a))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * scale, err_msg=feature.name)
        assert len(a) > 100


@pytest.mark.parametrize("price", [1e-8, 1.0, 1e6])
@pytest.mark.parametrize("volume", [0.0, 3.0])
def test_constant_price_gives_finite_values(around, price, volume):
    values = ALL.compute(flat(around, price, volume), M15)
    for feature in ALL.features:
        assert values[feature.name].slice(feature.warm_bars(M15)).is_finite().all(), feature.name


def test_features_do_not_depend_on_the_unit_of_price_or_volume(around, rows):
    prices = [pl.col(name) * 1e-5 for name in ("open", "high", "low", "close")]
    cheap = around.with_columns(*prices, volume=pl.col("volume") * 1e5)
    a, b = rows.tail(200), ALL.compute(cheap, M15).tail(200)
    for name in ALL.names:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("num_rows", [0, 1, 2, 5])
def test_a_short_history_gives_nulls(around, num_rows):
    found = ALL.compute(around.head(num_rows), M15)
    assert found.height == num_rows
    assert all(found[name].null_count() == num_rows for name in ALL.names if CATALOGUE[name].warm_up > 5)


@pytest.mark.parametrize("missing", [1, 60, 10_000])
def test_rows_after_a_gap_are_null_until_warm_again(minute_bars, missing):
    later = minute_bars.slice(3_000).with_columns(pl.col("close_time") + pl.duration(minutes=missing))
    holed = to_grid(pl.concat([minute_bars.head(3_000), later]), Timeframe(1))
    chosen = select([f.name for f in ALL.features if f.name not in CONTEXT], CATALOGUE)
    found = chosen.compute(holed, Timeframe(1))
    for feature in chosen.features:
        values = found[feature.name]
        assert values.drop_nulls().is_finite().all()
        assert values.slice(3_000, missing).null_count() == missing, feature.name
        if not feature.handles_gaps:
            masked = missing + feature.warm_bars(Timeframe(1)) - 1
            assert values.slice(3_000, masked).null_count() == masked, feature.name
            assert values.slice(3_000 + masked).null_count() == 0, feature.name


CONTEXT = {feature.name for group in ("funding", "market") for feature in GROUPS[group]}


@pytest.mark.real_data
def test_the_crash_of_october_gives_finite_values(real_btc):
    crash = to_grid(real_btc.filter(pl.col("close_time").dt.date().is_between(*OCTOBER)), Timeframe(5))
    chosen = select([f.name for f in ALL.features if f.name not in CONTEXT], CATALOGUE)
    found = chosen.compute(crash, Timeframe(5)).tail(700)
    assert all(found[name].is_finite().all() and found[name].null_count() == 0 for name in chosen.names)


OCTOBER = (pl.date(2025, 9, 8), pl.date(2025, 10, 12))


def test_simple_rsi_is_the_chapters_rescaled(bars, rows):
    change = np.diff(bars["close"].to_numpy()[-15:])
    gain, loss = change[change > 0].sum() / 14, -change[change < 0].sum() / 14
    np.testing.assert_allclose(rows["rsi_simple"][-1], (100 - 100 / (1 + gain / loss) - 50) / 50, rtol=1e-9)


def test_wilders_rsi_is_ta_libs(bars, rows):
    expected = (talib.RSI(bars["close"].to_numpy(), 14) - 50) / 50
    np.testing.assert_allclose(rows["rsi"][600:], expected[600:], rtol=1e-7, atol=1e-9)


def test_volume_against_its_time_of_day_is_the_definition(bars, rows):
    volume, row, day = bars["volume"].to_numpy(), 3_000, 96
    usual = np.mean([volume[row - k * day] for k in range(1, 8)])
    np.testing.assert_allclose(
        rows["volume_time_of_day_7"][row], np.log(volume[row] / usual + 0.01), rtol=1e-12
    )


def test_bipower_variation_shrugs_off_a_jump_and_the_jump_share_takes_it(around):
    jumped = around.with_columns(
        pl.when(pl.int_range(pl.len()) >= 2_000).then(pl.col(name) * 1.2).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    )
    at = select(["realised_200", "bipower_200", "jump_share_200", "signed_jump_50"], CATALOGUE)
    before, after = (at.compute(frame, M15).row(2_040, named=True) for frame in (around, jumped))
    assert after["realised_200"] - before["realised_200"] > 1.0
    assert after["bipower_200"] - before["bipower_200"] < 0.5
    assert after["jump_share_200"] > 0.8 > before["jump_share_200"]
    assert after["signed_jump_50"] > 0.8


def test_a_beta_of_two_is_found_and_nothing_is_left_beside_it(around):
    level = pl.col("market_level")
    twice = around.with_columns(close=(2 * level).exp(), open=(2 * level).exp()).slice(1)
    found = select(["beta", "beta_residual_1"], CATALOGUE).compute(twice, M15).tail(500)
    np.testing.assert_allclose(found["beta"], 2, rtol=1e-3)
    assert found["beta_residual_1"].abs().max() < 0.02


def test_the_market_is_the_mean_of_those_that_trade(bars):
    a = bars.head(50)
    b = a.with_columns(pl.col("close") ** 2).filter(pl.int_range(pl.len()) != 20)
    level = market_level({"A": a, "B": b})["market_level"].diff().to_numpy()
    own = a["close"].log().diff().to_numpy()
    np.testing.assert_allclose(level[9], 1.5 * own[10], rtol=1e-9)
    np.testing.assert_allclose(level[[19, 20]], own[[20, 21]], rtol=1e-9)


def test_funding_is_known_from_its_time_on(bars):
    time = bars["close_time"][99]
    funding = pl.DataFrame(
        {"time": [time], "funding_rate": [3e-4]}, schema_overrides={"time": bars["close_time"].dtype}
    )
    found = select(["funding_rate", "funding_age"], CATALOGUE).compute(with_funding(bars, funding), M15)
    assert found["funding_rate"][98] is None
    np.testing.assert_allclose(found["funding_rate"][99], 3.0)
    np.testing.assert_allclose(found["funding_age"][99:101], [0.0, 15 / 480])


def test_a_feature_without_its_context_says_what_to_give(bars):
    with pytest.raises(ConfigError, match=r"column funding_rate, .*polyscale fetch SYMBOL --funding"):
        select(["funding_rate"], CATALOGUE).compute(bars, M15)
    with pytest.raises(ConfigError, match=r"column market_level, .*at least one other symbol"):
        select(["beta"], CATALOGUE).compute(bars, M15)


def test_the_chapters_set_is_in_the_catalogue():
    assert set(CHAPTER) <= set(CATALOGUE)
    assert sum(len(group) for group in GROUPS.values()) == len(CATALOGUE)


def test_a_user_adds_a_feature_in_three_lines(bars):
    gap = Feature("gap", (pl.col("open") / pl.col("close").shift(1)).log(), 2, "open against the last close")
    wide = Feature("wide", lambda x: x.log_range / x.usual_volatility, 51, "range in units of volatility")
    values = select(["gap", "wide", "rsi"], CATALOGUE, [gap, wide]).compute(bars, M15)
    assert values.columns == ["close_time", "gap", "wide", "rsi"]
    assert values["gap"].null_count() == 1
    assert values["wide"].null_count() == 50


def test_a_formula_of_another_length_is_refused(bars):
    short = Feature("short", lambda x: np.zeros(3), 1, "not one per bar")
    with pytest.raises(DataError, match=r"short must give one number per bar, \(3840,\), got \(3,\)"):
        FeatureSet((short,)).compute(bars, M15)


def test_infinite_values_become_null_and_shared_arrays_stay_whole(bars):
    odd = Feature("odd", lambda x: 1 / (x.close - x.close), 1, "always infinite or not a number")
    own = Feature("own", lambda x: x.close, 5, "an array that others read as well")
    x = Inputs(bars, M15)
    found = FeatureSet((odd, own)).compute(bars, M15)
    assert found["odd"].null_count() == bars.height
    assert found["own"].null_count() == 4
    np.testing.assert_array_equal(x.close, bars["close"])


def test_scales_are_computed_in_one_pass_as_they_are_alone(bars, around):
    two = [(ALL, around, M15), (select(["rsi"], CATALOGUE), bars.head(400), M15)]
    for (features, frame, timeframe), found in zip(two, compute_scales(two), strict=True):
        assert found.equals(features.compute(frame, timeframe))


def test_unknown_and_doubled_names_are_refused():
    with pytest.raises(ConfigError, match=r"got \['nope'\]"):
        select(["nope"], CATALOGUE)
    with pytest.raises(ConfigError, match="more than once"):
        FeatureSet((CATALOGUE["rsi"], CATALOGUE["rsi"]))


def test_a_formula_that_changed_is_known_by_its_values():
    set_of = select(["rsi_simple", "volatility_5"], CATALOGUE)
    then = probe(set_of, M15)
    other = Feature("volatility_5", lambda x: 1.001 * CATALOGUE["volatility_5"].formula(x), 6, "another unit")
    assert changed(then, probe(set_of, M15)) == []
    assert changed(then, probe(FeatureSet((CATALOGUE["rsi_simple"], other)), M15)) == ["volatility_5"]
    assert changed({}, then) == ["rsi_simple", "volatility_5"]


def test_the_page_of_the_documentation_is_that_of_the_catalogue():
    from polyscale.cli.features_command import catalogue_rows, page

    assert (Path(__file__).parents[2] / "docs" / "features.md").read_text() == page(catalogue_rows()) + "\n"
