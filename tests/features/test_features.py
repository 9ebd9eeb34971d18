"""Every feature of the catalogue: warm-up, units, gaps, extremes; and some against an outside definition."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from polyscale.features.catalogue import CATALOGUE, CHAPTER, GROUPS
from polyscale.features.context import add_context, market_level, with_funding
from polyscale.features.feature import Feature, FeatureSet, compute_scales, select
from polyscale.features.inputs import Inputs
from polyscale.features.probe import changed, probe
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from polyscale.scales.resample import resample
from tests.oracles.slow_features import Market, value

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
    return add_context(to_grid(bars, M15), funding_for(bars), market_level({"OTHER": other}, M15, 0))


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
    level = market_level({"A": a, "B": b}, M15, 0)["market_level"].diff().to_numpy()
    own = a["close"].log().diff().to_numpy()
    np.testing.assert_allclose(level[10], 1.5 * own[10], rtol=1e-9)
    np.testing.assert_allclose(level[20], own[20], rtol=1e-9)
    np.testing.assert_allclose(
        level[21], (own[21] + 2 * (own[20] + own[21])) / 2, rtol=1e-9
    )  # the whole move


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


@pytest.fixture(scope="module")
def defined(bars, around):
    """The arrays that the slow definitions read; one other symbol is the market."""
    funding = funding_for(bars)
    columns = [bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    return Market(
        *columns,
        time_ms=bars["close_time"].dt.epoch("ms").to_numpy(),
        market=np.diff(around["market_level"].to_numpy(), prepend=np.nan),
        funding_ms=funding["time"].dt.epoch("ms").to_numpy(),
        funding=funding["funding_rate"].to_numpy(),
        per_day=96,
    )


@pytest.mark.parametrize(
    "name", [n for n in CATALOGUE if not n.startswith(("wavelet", "vmd")) and n != "rsi"]
)
def test_a_feature_is_its_definition(defined, rows, name):
    for t in (2_800, 3_001, 3_333, 3_839):
        expected = value(defined, name, t)
        assert expected is not None
        np.testing.assert_allclose(rows[name][t], expected, rtol=1e-8, atol=1e-10)


def test_a_flat_bar_and_bars_without_volume_have_their_neutral_values(bars):
    found = select(["close_position", "volume_ratio", "volume_change", "rsi", "jump_share_20"], CATALOGUE)
    last = found.compute(flat(bars, 2.0), M15).row(-1, named=True)
    assert (last["close_position"], last["volume_ratio"], last["volume_change"]) == (0.5, 1.0, 0.0)
    assert (last["rsi"], last["jump_share_20"]) == (0.0, 0.0)


def test_wilders_rsi_forgets_what_was_before_the_price_stood_still(bars):
    still = pl.concat([bars.head(1_000), flat(bars.slice(1_000), float(bars["close"][999]))])
    values = select(["rsi"], CATALOGUE).compute(still, M15)["rsi"]
    late = select(["rsi"], CATALOGUE).compute(still.slice(1_100), M15)["rsi"]
    assert values[-1] == late[-1] == 0.0


@pytest.mark.parametrize(("timeframe", "days"), [("1d", 40), ("1w", 280)])
def test_time_of_day_features_of_days_and_weeks_take_the_last_bars(timeframe, days):
    daily = simulate_bars(SimulationSettings(days=days, timeframe=Timeframe(1_440), seed=2))
    target = Timeframe.parse(timeframe)
    coarse = daily if timeframe == "1d" else resample(daily, Timeframe(1_440), target)
    values = select(["volume_time_of_day_7"], CATALOGUE).compute(to_grid(coarse, target), target)
    volume = coarse["volume"].to_numpy()
    expected = np.log(volume[-1] / volume[-8:-1].mean() + 0.01)
    np.testing.assert_allclose(values["volume_time_of_day_7"][-1], expected, rtol=1e-9)


def test_the_move_of_a_market_across_its_hole_is_not_lost(bars, around):
    """The other symbol jumps by 10 % while ten of its bars are missing."""
    other = simulate_bars(SimulationSettings(days=40, timeframe=M15, seed=5))
    after = pl.int_range(pl.len()) >= 2_005
    prices = [
        pl.when(after).then(pl.col(n) * 1.1).otherwise(n).alias(n) for n in ("open", "high", "low", "close")
    ]
    jumped = other.with_columns(prices)
    holed = pl.concat([jumped.head(2_000), jumped.slice(2_010)])
    chosen = select(["relative_strength_50"], CATALOGUE)
    a, b = (
        chosen.compute(add_context(bars, None, market_level({"O": each}, M15, 0)), M15)[
            "relative_strength_50"
        ]
        for each in (jumped, holed)
    )
    np.testing.assert_allclose(b[2_030], a[2_030], rtol=1e-9)


def test_one_missing_bar_of_a_market_is_filled_as_ones_own(bars):
    other = simulate_bars(SimulationSettings(days=40, timeframe=M15, seed=5))
    holed = pl.concat([other.head(2_000), other.slice(2_001)])
    level = market_level({"O": holed}, M15, 3)
    assert select(["beta"], CATALOGUE).compute(add_context(bars, None, level), M15)["beta"][2_010] is not None


def test_the_market_in_a_hole_is_the_same_whether_or_not_the_hole_has_ended(bars):
    other = simulate_bars(SimulationSettings(days=40, timeframe=M15, seed=5))
    for missing in (1, 2, 5):
        ended = market_level({"O": pl.concat([other.head(2_000), other.slice(2_000 + missing)])}, M15, 3)
        lasting = market_level({"O": other.head(2_000)}, M15, 3)
        until = other["close_time"][2_000 + missing - 1]
        assert ended.filter(pl.col("close_time") <= until).equals(
            lasting.filter(pl.col("close_time") <= until)
        )
        assert lasting.height == 2_003


def test_a_market_of_other_bars_is_refused_and_one_of_none_is_none(bars):
    hourly = resample(bars, M15, Timeframe(60))
    with pytest.raises(DataError, match=r"bars of O must be of the base timeframe 15m .* got one every 1h"):
        market_level({"O": hourly}, M15, 0)
    assert market_level({"O": bars.head(0)}, M15, 0) is None
    assert market_level({"O": bars.head(1), "P": bars}, M15, 0).height == bars.height


@pytest.mark.parametrize(
    ("formula", "told"),
    [
        (lambda x: [1.0, 2.0], r"one number per bar, \(3840,\), got \(2,\)"),
        (lambda x: None, "feature odd must give one real number per bar, it raised TypeError"),
        (lambda x: x.close + 1j, "it raised TypeError"),
        (lambda x: 1 / 0, "it raised ZeroDivisionError: division by zero; mend its formula"),
        (pl.col("closs"), "feature odd must give one real number per bar, it raised ColumnNotFoundError"),
        (pl.col("close").mean(), r"got \(1,\)"),
    ],
)
def test_a_formula_that_gives_no_numbers_is_told_by_name(bars, formula, told):
    with pytest.raises(DataError, match=told):
        FeatureSet((Feature("odd", formula, 1, "odd"),)).compute(bars, M15)


def test_booleans_and_integers_are_numbers_and_null_until_warm(bars):
    up = Feature("up", lambda x: x.close > x.open, 5, "whether the bar rose")
    number = Feature("number", lambda x: np.arange(len(x.close)), 2, "a count")
    found = FeatureSet((up, number)).compute(bars, M15)
    assert (found["up"].null_count(), found["number"].null_count()) == (4, 1)
    assert set(found["up"].drop_nulls()) == {0.0, 1.0}


def test_bars_off_their_grid_are_refused(bars):
    with pytest.raises(DataError, match=r"features need bars of 15m on their grid: 3,840 rows .*to_grid"):
        ALL.compute(pl.concat([bars.head(100), bars.slice(101)]), M15)


def test_what_formulas_share_cannot_be_written_into(bars):
    x = Inputs(bars, M15)
    for shared in (x.close, x.log_return, x.present, x.run_length, x.shared("k", lambda: np.zeros(3))):
        with pytest.raises(ValueError, match="read-only"):
            shared[0] = 1


@pytest.mark.parametrize("changes", [{"warm_up": 0}, {"warm_up": 2.5}, {"name": "close_time"}])
def test_a_feature_without_warm_up_or_name_is_refused(changes):
    with pytest.raises(ConfigError, match="feature"):
        Feature(**{"name": "x", "formula": pl.col("close"), "warm_up": 1, "meaning": "x"} | changes)


@pytest.mark.parametrize("name", ["jump_share_20", "close_position", "volume_ratio", "funding_age"])
def test_the_probe_does_not_depend_on_its_company_and_knows_odd_bars(name):
    alone, beside = probe(select([name], CATALOGUE), M15), probe(select([name, "rsi"], CATALOGUE), M15)
    assert changed(alone, {name: beside[name]}) == []
    assert len(set(alone[name][1:])) > 1  # it tells something
