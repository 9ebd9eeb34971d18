import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from polyscale.audit import Plan, check
from polyscale.base.forecasts import base_forecast, last_value, log_har
from polyscale.base.regressors import base_regressors, har_regressors, season, span_bars
from polyscale.base.rolling import Loss, _fit, rolling_forecast
from polyscale.base.settings import BaseSettings
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import DAY_MS, Timeframe
from polyscale.scales.grid import to_grid
from polyscale.targets.targets import make_targets

M15 = Timeframe(15)
HORIZONS = [Timeframe(60), Timeframe(1_440)]
SETTINGS = BaseSettings(window_days=15, min_days=5)


def cuts_after(bars, *kept):
    """The rolling fit needs weeks of history, so nothing is said of how it warms up."""
    cuts = tuple(bars["close_time"][number - 1] for number in kept)
    return Plan(whole_cuts=cuts, newest_cuts=0, truncations=0)


def stage(model):
    def rows(bars):
        values = model(bars, M15, make_targets(bars, M15, HORIZONS), SETTINGS)
        return bars.select("close_time").with_columns(h1=values[:, 0], d1=values[:, 1])

    return rows


@pytest.mark.parametrize("model", [base_forecast, log_har])
def test_the_rolling_fit_does_not_know_its_future(bars, model):
    plan = cuts_after(bars, 1_800, 2_013, 2_304, 2_305, 3_400)
    assert check(stage(model), bars, plan=plan).findings == ()


def test_a_label_is_used_from_its_end_on_and_not_before(bars):
    """Labels that end in day 20 are unknown at its midnight: changing them moves nothing that day."""
    time_ms = bars["close_time"].dt.epoch("ms").to_numpy()
    targets = make_targets(bars, M15, HORIZONS)
    x = har_regressors(bars, M15)
    midnight = (time_ms[0] // DAY_MS + 20) * DAY_MS
    for h, horizon in enumerate(HORIZONS):
        changed = targets.log_variance.copy()
        changed[time_ms + horizon.ms > midnight, h] = 5.0
        a, b = (
            rolling_forecast(x, y, time_ms, HORIZONS, SETTINGS, Loss.SQUARED)
            for y in (targets.log_variance, changed)
        )
        day = (time_ms >= midnight) & (time_ms < midnight + DAY_MS)
        assert np.isfinite(a[day, h]).all()
        np.testing.assert_array_equal(a[day, h], b[day, h])
        assert not np.array_equal(
            a[time_ms >= midnight + 2 * DAY_MS, h], b[time_ms >= midnight + 2 * DAY_MS, h]
        )


def test_least_squares_and_huber_agree_with_statsmodels():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(800, 3))
    y = 0.3 + x @ [0.5, -0.2, 0.1] + 0.1 * rng.standard_t(3, 800)
    design = sm.add_constant(x)
    np.testing.assert_allclose(_fit(x, y, Loss.SQUARED)[1:], sm.OLS(y, design).fit().params[1:], rtol=1e-6)
    robust = sm.RLM(y, design, M=sm.robust.norms.HuberT(1.345)).fit().params[1:]
    np.testing.assert_allclose(_fit(x, y, Loss.HUBER)[1:], robust, atol=2e-3)


def test_the_bias_correction_makes_the_mean_variance_right():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20_000, 1))
    y = x[:, 0] + rng.normal(0, 0.8, 20_000)
    beta = _fit(x, y, Loss.SQUARED)
    np.testing.assert_allclose(np.exp(y - beta[0] - x @ beta[1:]).mean(), 1.0, atol=0.02)


def test_one_crash_does_not_ruin_the_base_forecast(bars):
    """A bar that moves 60 % shifts the forecasts of the days after it by less than a factor of four."""
    crash = pl.when(pl.int_range(pl.len()) == 2_400).then(pl.col("low") * 0.4).otherwise("low")
    close = pl.when(pl.int_range(pl.len()) == 2_400).then(pl.col("low") * 0.4).otherwise("close")
    crashed = bars.with_columns(low=crash, close=close)
    later = slice(2_400 + 96 * 8, None)
    a, b = (stage(base_forecast)(frame)["h1"].to_numpy()[later] for frame in (bars, crashed))
    assert np.abs(a - b).max() < np.log(4)


def test_no_forecast_before_the_days_that_are_asked_for(bars):
    values = stage(log_har)(bars)["h1"]
    first = int(values.is_not_nan().arg_max())
    days = (bars["close_time"][first] - bars["close_time"][0]).total_seconds() / 86_400
    assert 7 + 5 <= days <= 7 + 5 + 2


def test_last_value_is_the_variance_that_was(bars):
    targets = make_targets(bars, M15, HORIZONS)
    np.testing.assert_allclose(last_value(bars, targets)[500, 0], targets.log_variance[496, 0], rtol=1e-9)


def test_spans_shorter_than_a_bar_are_one_bar():
    assert span_bars(M15) == [4, 16, 96, 672]
    assert span_bars(Timeframe(1_440)) == [1, 7]


def test_regressors_are_finite_once_warm(bars):
    rows = base_regressors(bars, M15)
    assert np.isfinite(rows[672:]).all()
    assert np.isnan(rows[: int(0.9 * 672)]).any(axis=1).all()


def test_a_hole_of_hours_silences_a_day_of_forecasts_and_not_a_week(bars):
    holed = to_grid(pl.concat([bars.head(3_000), bars.slice(3_020)]), M15)
    values = stage(base_forecast)(holed)["h1"].to_numpy()
    assert np.isnan(values[3_000:3_020]).all()
    assert np.isfinite(values[3_120:3_500]).all()


def test_the_rolling_fit_does_not_know_its_future_across_a_hole(bars):
    holed = to_grid(pl.concat([bars.head(3_000), bars.slice(3_020)]), M15)
    assert check(stage(base_forecast), holed, plan=cuts_after(holed, 2_990, 3_025, 3_100)).findings == ()


def test_season_repeats_every_week():
    time = np.arange(0, 14 * DAY_MS, 3_600_000)
    np.testing.assert_allclose(season(time)[:168], season(time)[168:], atol=1e-9)


def test_a_crash_among_the_regressors_takes_the_forecast_nowhere_that_no_label_has_been():
    bars = simulate_bars(SimulationSettings(days=40, timeframe=Timeframe(15), seed=3))
    crash = 30 * 96
    factor = np.ones(len(bars))
    factor[crash] = 0.4
    wrecked = bars.with_columns(
        low=pl.col("low") * pl.Series(factor),
        close=pl.col("close") * pl.Series(factor),
    )
    base, horizons = Timeframe(15), (Timeframe(60), Timeframe(1_440))
    settings = BaseSettings(window_days=15, min_days=5)
    targets = make_targets(wrecked, base, horizons)
    found = base_forecast(wrecked, base, targets, settings)
    for h in range(2):
        known = np.isfinite(found[:, h])
        assert known.sum() > 1_000
        assert found[known, h].min() >= np.nanmin(targets.log_variance[:, h])
        assert found[known, h].max() <= np.nanmax(targets.log_variance[:, h])
