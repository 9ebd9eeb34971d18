"""A small market with a known answer: forecasts drawn about the true variance, returns drawn from it."""

import numpy as np
from scipy import signal, stats

from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
HORIZONS = (Timeframe(60), Timeframe(240))
BARS = (12, 48)


def scored_inputs(num=1200, *, network_noise=0.1, base_noise=0.4, skill=0.0, seed=0):
    """Arguments of `score` but settings; noises are sds of the error in log variance, skill tilts P(up)."""
    rng = np.random.default_rng(seed)
    shape = (num, len(HORIZONS))
    log_truth = -13 + signal.lfilter([0.1], [1, -0.95], rng.standard_normal(shape), axis=0)
    log_variance = log_truth + rng.normal(-0.02, 0.2, shape)
    sigma = np.exp(log_truth / 2) * np.sqrt(BARS)
    up = rng.random(shape) < 0.5 + skill
    returns = np.where(up, 1, -1) * np.abs(rng.normal(size=shape)) * sigma

    def noisy(noise):
        return log_truth + noise * rng.standard_normal(shape)

    volatility = np.exp(noisy(network_noise) / 2) * np.sqrt(BARS)
    base = {"base": noisy(base_noise), "log-HAR": noisy(base_noise), "last value": noisy(2 * base_noise)}
    z = stats.norm.ppf(LEVELS)
    return {
        "forecast": forecast_of(volatility, volatility[..., None] * z, np.full(shape, 0.5 + skill)),
        "log_variance": log_variance,
        "returns": returns,
        "baselines": base,
        "base_quantiles": np.exp(base["base"] / 2)[..., None] * np.sqrt(BARS)[:, None] * z,
        "bars_per_horizon": BARS,
        "step_bars": 12,
    }


def forecast_of(volatility, quantiles, prob_up):
    num = len(volatility)
    times = np.datetime64("2026-01-01", "ms") + np.arange(num) * np.timedelta64(1, "h")
    return Forecast(
        close_time=times,
        horizons=HORIZONS,
        levels=LEVELS,
        scales=("5m",),
        quantiles=quantiles,
        prob_up=prob_up + np.linspace(-1e-3, 1e-3, num)[:, None] * (prob_up == 0.5),
        volatility=volatility,
        expected_return=np.zeros_like(volatility),
        base_volatility=volatility.copy(),
        scale_weights=np.ones((num, 1)),
        cross_attention=np.ones((num, 1, 1)),
    )
