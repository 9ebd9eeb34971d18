"""How much to hold once the side is chosen: the size of the target, as a share of equity.

In: the forecast of one horizon at each origin, as arrays [N]. Out: sizes [N] >= 0, capped by leverage.
Each row is a function of the same row of the forecast, so it is known at the close of that origin.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import DAY_MS, Timeframe
from polyscale.strategy.settings import StrategySettings

Floats = NDArray[np.float64]
YEAR_MS: Final = 365 * DAY_MS


def sizes(forecast: Forecast, horizon: Timeframe, settings: StrategySettings) -> Floats:
    """Size of the target at each origin by the rule that the settings name, capped by ``max_leverage``.

    Returns
    -------
    numpy.ndarray
        [N], share of equity in [0, max_leverage]; the side is not in it.
    """
    h = forecast.horizon_index(horizon)
    prob_up, volatility = forecast.prob_up[:, h], forecast.volatility[:, h]
    match settings.sizing:
        case "fixed":
            size = np.full(len(forecast), settings.size)
        case "confidence":
            size = confidence_size(prob_up)
        case "kelly":
            size = kelly_size(forecast.expected_return[:, h], volatility, settings.kelly_fraction)
        case "volatility":
            size = volatility_size(volatility, horizon, settings.target_volatility)
    return np.minimum(size, settings.max_leverage)


def confidence_size(prob_up: Floats) -> Floats:
    """``|2 p - 1|``: nothing at a coin's flip, the whole equity at certainty."""
    return np.abs(2.0 * prob_up - 1.0)


def kelly_size(expected_return: Floats, volatility: Floats, fraction: float) -> Floats:
    """``fraction * |mu| / sigma^2``: the growth-optimal bet of the forecast's distribution, and a part of it.

    mu and sigma are mean and standard deviation of the log return over one and the same horizon. mu is taken
    as forecast: the term ``sigma^2 / 2`` that would turn it into the drift of the simple return is left out,
    since it alone would hold half the equity long on no edge at all.
    Where sigma is 0 the bet is unbounded and left to the cap; where mu is 0 too, it is 0.

    References
    ----------
    .. [1] Thorp, E. O. (2006). The Kelly criterion in blackjack, sports betting and the stock market.
    """
    edge = fraction * np.abs(expected_return)
    unbounded = np.where(edge > 0, np.inf, 0.0)
    with np.errstate(over="ignore"):
        return np.divide(edge, np.square(volatility), out=unbounded, where=np.square(volatility) > 0)


def volatility_size(volatility: Floats, horizon: Timeframe, target_volatility: float) -> Floats:
    """``target / (sigma_h sqrt(year / h))``: the size whose return has the target's volatility over a year.

    A year has 365 days. Where sigma is 0 the size is unbounded and left to the cap.
    """
    a_year = volatility * np.sqrt(YEAR_MS / horizon.ms)
    with np.errstate(over="ignore"):
        return np.divide(target_volatility, a_year, out=np.full(len(a_year), np.inf), where=a_year > 0)
