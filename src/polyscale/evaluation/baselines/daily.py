"""Baselines of daily realised variance: log-HAR, HARQ and GARCH(1,1), one day ahead.

In: one number per trading day, in order. Out: log of the variance expected for the next day [T], row t known
at the end of day t; NaN until a window is full. All are fitted on a rolling window of the newest days: an
online fit.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from polyscale.evaluation.baselines.correction import log_bias
from polyscale.features.windows import trailing_mean
from polyscale.market.errors import ConfigError, DataError

Floats = NDArray[np.float64]
SPANS: Final = (1, 5, 22)  # days, weeks, months of trading (Corsi 2009)


@threadpool_limits.wrap(limits=1, user_api="blas")
def daily_log_har(realised: Floats, window: int = 500) -> Floats:
    """The reference log-HAR: log mean realised variance over 1, 5 and 22 days, least squares.

    The forecast is exp(prediction + half the residual variance), the mean of a log-normal variable.
    """
    _check("realised variance", realised, window)
    x = np.log(np.column_stack([trailing_mean(realised, span) for span in SPANS]))
    y = np.log(realised)
    forecast = np.full(len(y), np.nan)
    for t in range(SPANS[-1] - 1 + window, len(y)):
        beta, residual = _least_squares(x[t - window : t], y[t - window + 1 : t + 1])
        forecast[t] = beta[0] + x[t] @ beta[1:] + 0.5 * residual @ residual / (window - len(beta))
    return forecast


@threadpool_limits.wrap(limits=1, user_api="blas")
def daily_harq(realised: Floats, quarticity: Floats, window: int = 500) -> Floats:
    """HARQ (Bollerslev, Patton and Quaedvlieg 2016): HAR in levels that trusts a noisy day less.

    RV' = b0 + (b1 + b1q sqrt(RQ)) RV + b2 RV_5 + b3 RV_22, least squares. A forecast outside the range of the
    window's realised variance is replaced by the window's mean, the authors' insanity filter.

    Parameters
    ----------
    quarticity
        Realised quarticity [T] in any unit.
    """
    _check("realised variance", realised, window)
    _check("realised quarticity", quarticity, window)
    spans = [trailing_mean(realised, span) for span in SPANS]
    x = np.column_stack([*spans, np.sqrt(quarticity) * realised])
    forecast = np.full(len(realised), np.nan)
    for t in range(SPANS[-1] - 1 + window, len(realised)):
        came = realised[t - window + 1 : t + 1]
        beta, _ = _least_squares(x[t - window : t], came)
        value = beta[0] + x[t] @ beta[1:]
        sane = came.min() <= value <= came.max()
        forecast[t] = np.log(value if sane else came.mean())
    return forecast


def daily_garch(
    returns: Floats, realised: Floats | None = None, window: int = 1_000, refit_every: int = 22
) -> Floats:
    """GARCH(1,1) with a constant mean and normal errors (Bollerslev 1986), by the package arch.

    Parameters
    ----------
    returns
        Daily log returns [T], finite.
    realised
        Realised variance [T] that is to be forecast, if it is not that of these returns, as where they hold
        the night and it does not: forecasts are then corrected by their bias over the window.
    window
        Days of each fit.
    refit_every
        Days from one fit to the next; between them only the recursion goes on.

    Raises
    ------
    ConfigError
        If arch is not installed.
    """
    arch_model = _arch().arch_model
    _check("returns", returns, window, positive=False)
    if realised is not None:
        _check("realised variance", realised, window)
    forecast = np.full(len(returns), np.nan)
    for start in range(window - 1, len(returns), refit_every):
        rows = slice(start - window + 1, start + 1)
        unit = float(returns[rows].std())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a fit that stops at a bound, which is an answer
            fitted = arch_model(returns[rows] / unit, mean="Constant", rescale=False).fit(
                disp="off", show_warning=False
            )
        mu, omega, alpha, beta = (float(value) for value in fitted.params)
        inside = np.square(np.asarray(fitted.conditional_volatility))
        bias = 0.0 if realised is None else log_bias(np.log(realised[rows] / (inside * unit**2)))
        variance = inside[-1]
        for t in range(start, min(start + refit_every, len(returns))):
            variance = omega + alpha * (returns[t] / unit - mu) ** 2 + beta * variance
            forecast[t] = np.log(variance * unit**2) + bias
    return forecast


def _least_squares(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coefficients [1 + P] and residuals [n]; columns are scaled, for they differ by magnitudes."""
    size = np.abs(x).max(axis=0)
    design = np.column_stack([np.ones(len(x)), x / size])
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    return beta / np.concatenate([[1.0], size]), y - design @ beta


def _check(name: str, values: Floats, window: int, *, positive: bool = True) -> None:
    """Raise `DataError` unless there is a window of numbers that can be used."""
    if len(values) <= window or not np.isfinite(values).all() or (positive and (values <= 0).any()):
        rule = "finite and > 0" if positive else "finite"
        raise DataError(
            f"{name} must be more than {window} days, all {rule}, got {len(values)} with "
            f"{int((~np.isfinite(values)).sum())} not finite, the least {np.nanmin(values, initial=np.inf)}; "
            "leave other days out, or take a shorter window"
        )


def _arch() -> ModuleType:
    try:
        import arch
    except ImportError as error:
        raise ConfigError(
            "the baseline GARCH(1,1) needs the package arch, which is not installed; "
            "pip install arch, or leave the baseline out"
        ) from error
    return arch
