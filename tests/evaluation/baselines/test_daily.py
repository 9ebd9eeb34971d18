import sys

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from arch import arch_model

from polyscale.evaluation.baselines.daily import daily_garch, daily_harq, daily_log_har
from polyscale.evaluation.losses import qlike
from polyscale.market.errors import ConfigError, DataError
from tests.conftest import REAL_DATA


def simulated(num=700, seed=1):
    """(returns, realised variance, quarticity) of a market whose log variance is autoregressive."""
    rng = np.random.default_rng(seed)
    log_variance = np.zeros(num)
    for t in range(1, num):
        log_variance[t] = 0.95 * log_variance[t - 1] + 0.3 * rng.normal()
    variance = 1e-4 * np.exp(log_variance)
    realised = variance * rng.chisquare(40, num) / 40
    return rng.normal(0, np.sqrt(variance)), realised, 3 * variance**2 * rng.chisquare(20, num) / 20


def scored(forecast, realised):
    """QLIKE of every day that was forecast the day before."""
    log_realised, said = np.log(realised[1:]), forecast[:-1]
    known = np.isfinite(said)
    return qlike(log_realised[known], said[known])


def test_log_har_agrees_with_a_slow_regression():
    _, realised, _ = simulated()
    forecast = daily_log_har(realised, window=300)
    assert np.isnan(forecast[:321]).all()
    for t in (321, 500, 699):

        def regressors(day):
            return [1.0, *(np.log(realised[day - span + 1 : day + 1].mean()) for span in (1, 5, 22))]

        days = range(t - 300, t)
        fit = sm.OLS([np.log(realised[day + 1]) for day in days], [regressors(day) for day in days]).fit()
        slow = fit.params @ regressors(t) + fit.mse_resid / 2
        assert forecast[t] == pytest.approx(slow, rel=1e-9)


def test_harq_agrees_with_a_slow_regression_in_any_unit():
    _, realised, quarticity = simulated()
    forecast = daily_harq(realised, quarticity, window=300)
    np.testing.assert_allclose(daily_harq(realised, 7e5 * quarticity, 300), forecast, rtol=1e-6)
    for t in (400, 699):

        def regressors(day):
            spans = [realised[day - span + 1 : day + 1].mean() * 1e4 for span in (1, 5, 22)]
            return [1.0, *spans, realised[day] * 1e4 * np.sqrt(quarticity[day]) * 1e4]

        days = range(t - 300, t)
        fit = sm.OLS([realised[day + 1] for day in days], [regressors(day) for day in days]).fit()
        assert np.exp(forecast[t]) == pytest.approx(fit.params @ regressors(t), rel=1e-6)


def test_a_harq_forecast_out_of_all_experience_is_replaced_by_the_windows_mean():
    _, realised, quarticity = simulated()
    quarticity[650] *= 1e8
    forecast = daily_harq(realised, quarticity, window=300)
    assert forecast[650] == pytest.approx(np.log(realised[351:651].mean()), rel=1e-9)


def test_garch_agrees_with_the_packages_own_forecast():
    returns, *_ = simulated()
    forecast = daily_garch(returns, window=400, refit_every=50)
    assert np.isnan(forecast[:399]).all()
    fitted = arch_model(returns[:400] * 100, rescale=False).fit(disp="off")
    oracle = fitted.forecast(horizon=1).variance.to_numpy()[-1, 0] / 1e4
    assert forecast[399] == pytest.approx(np.log(oracle), abs=2e-3)


def test_between_its_fits_garch_follows_its_recursion():
    returns, *_ = simulated()
    forecast = np.exp(daily_garch(returns, window=400, refit_every=200))
    calm, wild = returns.copy(), returns.copy()
    calm[500], wild[500] = 0.0, 0.1
    assert np.exp(daily_garch(wild, window=400, refit_every=200))[500] > forecast[500]
    assert np.exp(daily_garch(calm, window=400, refit_every=200))[500] <= forecast[500]


def test_garch_is_corrected_for_a_realised_variance_without_the_night():
    returns, realised, _ = simulated(num=900)
    whole, day = daily_garch(returns, realised, 400), daily_garch(returns, realised / 3, 400)
    np.testing.assert_allclose((whole - day)[399:], np.log(3), rtol=1e-6)
    assert scored(day, realised / 3).mean() < scored(daily_garch(returns, window=400), realised / 3).mean()


@pytest.mark.parametrize("model", ["log-HAR", "HARQ", "GARCH"])
def test_tomorrow_does_not_change_today(model):
    returns, realised, quarticity = simulated()
    later = np.arange(700) > 600

    def forecast(k):
        r, v, q = (np.where(later, k * series, series) for series in (returns, realised, quarticity))
        return {
            "log-HAR": lambda: daily_log_har(v, 300),
            "HARQ": lambda: daily_harq(v, q, 300),
            "GARCH": lambda: daily_garch(r, v, 300),
        }[model]()

    once, again = forecast(1), forecast(5)
    np.testing.assert_array_equal(once[:601], again[:601])
    assert not np.array_equal(once[601:], again[601:])


def test_what_cannot_be_logged_is_refused():
    _, realised, _ = simulated()
    for wrong in (0.0, np.nan):
        broken = realised.copy()
        broken[5] = wrong
        with pytest.raises(DataError, match="realised variance must be more than 500 days"):
            daily_log_har(broken)
    with pytest.raises(DataError, match="got 100 with 0 not finite"):
        daily_log_har(realised[:100])


def test_without_arch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "arch", None)
    with pytest.raises(ConfigError, match="pip install arch"):
        daily_garch(simulated()[0])


def real(name, column):
    path = REAL_DATA / "realized" / name
    if not path.exists():
        pytest.skip("the folder of real data is absent")
    return pl.read_parquet(path)[column].to_numpy().copy()


@pytest.mark.real_data
def test_spy_2014_to_2019_scores_what_is_known_of_it():
    realised = real("SPYRM.parquet", "RV5")
    losses = scored(daily_log_har(realised, window=500), realised)
    assert len(losses) == 973
    assert losses.mean() == pytest.approx(0.2045, abs=0.002)
    harq = daily_harq(realised, real("SPYRM.parquet", "RQ5"), window=500)
    levels = daily_harq(realised, np.ones(len(realised)), window=500)  # no noise known: plain HAR
    assert scored(harq, realised).mean() < scored(levels, realised).mean()


@pytest.mark.real_data
def test_sp500_from_2000_scores_about_what_is_said_of_it():
    """0.2066 over 2,960 days is said of it, but not over which; over all 3,578 it is 0.2089."""
    realised = real("SP500_mfgarch.parquet", "rv")
    losses = scored(daily_log_har(realised, window=1_000), realised)
    assert len(losses) == 3_578
    assert losses.mean() == pytest.approx(0.2089, abs=0.001)
