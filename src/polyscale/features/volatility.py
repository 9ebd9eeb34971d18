"""How much the price moves: realised and range volatilities, jumps, semivariances, and moves in their unit.

``log`` volatilities are half the log of a variance per bar with a floor of 1e-10 inside, so that a constant
price gives a finite number. ``relative`` ones are less the realised one of 50 bars: free of the symbol's
own level.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from polyscale.features.chapter import log_return
from polyscale.features.feature import Feature, Formula
from polyscale.features.inputs import USUAL_BARS, Inputs, log_volatility
from polyscale.features.realised import VARIANCE_FLOOR
from polyscale.features.windows import (
    lag,
    ratio,
    trailing_max,
    trailing_mean,
    trailing_min,
    trailing_std,
    trailing_sum,
)

Floats = NDArray[np.float64]
_PARKINSON: Final = 4 * np.log(2)
_BIPOWER: Final = np.pi / 2
_WARM: Final = USUAL_BARS + 1


def _realised(bars: int) -> Formula:
    return lambda x: log_volatility(x.squared_return, bars)


def _parkinson(bars: int) -> Formula:
    return lambda x: log_volatility(x.shared("parkinson", lambda: x.log_range**2 / _PARKINSON), bars)


def _garman_klass(bars: int) -> Formula:
    return lambda x: log_volatility(x.shared("garman_klass", lambda: _garman_klass_bar(x)), bars)


def _garman_klass_bar(x: Inputs) -> Floats:
    """0.5 log(H/L)^2 - (2 log 2 - 1) log(C/O)^2; never negative, for no close lies outside the range."""
    return np.maximum(0.5 * x.log_range**2 - (2 * np.log(2) - 1) * np.log(x.close / x.open) ** 2, 0.0)


def _rogers_satchell(bars: int) -> Formula:
    return lambda x: log_volatility(x.shared("rogers_satchell", lambda: _rogers_satchell_bar(x)), bars)


def _rogers_satchell_bar(x: Inputs) -> Floats:
    up, down = np.log(x.high / x.open), np.log(x.low / x.open)
    end = np.log(x.close / x.open)
    return up * (up - end) + down * (down - end)


def _bipower(bars: int) -> Formula:
    return lambda x: log_volatility(_neighbours(x), bars)


def _neighbours(x: Inputs) -> Floats:
    """pi/2 |r_t| |r_t-1|: what of the variance is no jump."""
    return x.shared("bipower", lambda: _BIPOWER * x.absolute_return * lag(x.absolute_return, 1))


def _jump_share(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        variance, smooth = trailing_sum(x.squared_return, bars), trailing_sum(_neighbours(x), bars)
        return np.maximum(1 - ratio(smooth, variance, 1.0), 0.0)

    return formula


def _signed_jump(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        signed = x.shared("signed_square", lambda: np.sign(x.log_return) * x.squared_return)
        variance, balance = trailing_sum(x.squared_return, bars), trailing_sum(signed, bars)
        return ratio(balance, variance, 0.0)

    return formula


def _semivolatility(bars: int, side: float) -> Formula:
    def formula(x: Inputs) -> Floats:
        one_side = x.shared(("semivariance", side), lambda: np.maximum(side * x.log_return, 0.0) ** 2)
        return log_volatility(one_side, bars)

    return formula


def _tails(bars: int) -> Formula:
    """Square root of the realised quarticity over the variance."""

    def formula(x: Inputs) -> Floats:
        fourth = x.shared("fourth", lambda: x.squared_return**2)
        variance = trailing_mean(x.squared_return, bars)
        return ratio(np.sqrt(trailing_mean(fourth, bars)), variance, 0.0)

    return formula


def _relative(measure: Formula) -> Formula:
    return lambda x: measure(x) - x.usual_log_volatility


def _scaled_return(bars: int) -> Formula:
    return lambda x: log_return(bars)(x) / (x.usual_volatility * np.sqrt(bars))


def _volatility_of_volatility(bars: int) -> Formula:
    return lambda x: trailing_std(x.shared("realised_5", lambda: log_volatility(x.squared_return, 5)), bars)


def _efficiency(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        return ratio(trailing_sum(x.log_return, bars), trailing_sum(x.absolute_return, bars), 0.0)

    return formula


def _range_position(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        low, high = trailing_min(x.low, bars), trailing_max(x.high, bars)
        return ratio(x.close - low, high - low, 0.5)

    return formula


def _drawdown(bars: int) -> Formula:
    return lambda x: np.log(x.close / trailing_max(x.high, bars)) / (x.usual_volatility * np.sqrt(bars))


def _autocorrelation(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        product = x.shared("product", lambda: x.log_return * lag(x.log_return, 1))
        return trailing_mean(product, bars) / (trailing_mean(x.squared_return, bars) + VARIANCE_FLOOR)

    return formula


_LOG = "log of volatility per bar"

VOLATILITY: Final = (
    *(
        Feature(
            f"realised_{n}", _realised(n), n + 1, f"half the log of the mean of {n} squared log returns", _LOG
        )
        for n in (5, 10, 20, 50, 100, 200)
    ),
    *(
        Feature(
            f"parkinson_{n}",
            _parkinson(n),
            n,
            f"mean of {n} log(high/low)² / (4 log 2) (Parkinson 1980)",
            _LOG,
        )
        for n in (1, 5, 20, 50, 100)
    ),
    *(
        Feature(
            f"garman_klass_{n}",
            _garman_klass(n),
            n,
            f"mean of {n} times 0.5 log(high/low)² − (2 log 2 − 1) log(close/open)² (Garman and Klass 1980)",
            _LOG,
        )
        for n in (5, 20, 50)
    ),
    *(
        Feature(
            f"rogers_satchell_{n}",
            _rogers_satchell(n),
            n,
            f"range variance of {n} bars that knows no drift (Rogers and Satchell 1991)",
            _LOG,
        )
        for n in (5, 20, 50)
    ),
    *(
        Feature(
            f"bipower_{n}",
            _bipower(n),
            n + 2,
            f"mean of {n} products π/2 |r| |r before| (Barndorff-Nielsen and Shephard 2004)",
            _LOG,
        )
        for n in (20, 50, 200)
    ),
    *(
        Feature(
            f"semivolatility_{name}_{n}",
            _semivolatility(n, side),
            n + 1,
            f"mean of {n} squared returns, {what} alone (Barndorff-Nielsen, Kinnebrock and Shephard 2010)",
            _LOG,
        )
        for name, side, what in (("up", 1.0, "rises"), ("down", -1.0, "falls"))
        for n in (20, 50)
    ),
)

JUMPS: Final = (
    *(
        Feature(
            f"jump_share_{n}",
            _jump_share(n),
            n + 2,
            f"share of {n} bars' realised variance above the bipower one, at least 0",
        )
        for n in (20, 50, 200)
    ),
    *(
        Feature(
            f"signed_jump_{n}",
            _signed_jump(n),
            n + 1,
            f"variance of rises less that of falls over their sum, {n} bars (Patton and Sheppard 2015)",
        )
        for n in (5, 20, 50)
    ),
    Feature("tails_50", _tails(50), 51, "root of the mean fourth power of 50 returns over their mean square"),
    Feature(
        "volatility_of_volatility_50",
        _volatility_of_volatility(50),
        55,
        "standard deviation over 50 bars of the log realised volatility of 5",
        "log",
    ),
)

RELATIVE: Final = tuple(
    Feature(
        f"relative_{name}",
        _relative(measure),
        _WARM,
        f"{what}, less the log realised volatility of {USUAL_BARS} bars",
        "log",
    )
    for name, measure, what in (
        ("move", _realised(1), "half the log squared return of the bar"),
        ("volatility_5", _realised(5), "log realised volatility of 5 bars"),
        ("volatility_20", _realised(20), "log realised volatility of 20 bars"),
        ("range", _parkinson(1), "half the log Parkinson variance of the bar"),
        ("range_5", _parkinson(5), "log Parkinson volatility of 5 bars"),
        ("range_20", _parkinson(20), "log Parkinson volatility of 20 bars"),
    )
)

MOVES: Final = (
    *(
        Feature(
            f"scaled_return_{n}",
            _scaled_return(n),
            max(_WARM, n + 1),
            f"log return of {n} bars in units of realised volatility (of {USUAL_BARS} bars) over so many",
            "volatility",
        )
        for n in (1, 5, 10, 20, 50)
    ),
    *(
        Feature(
            f"efficiency_{n}", _efficiency(n), n + 1, f"return of {n} bars over the way there, in [-1, 1]"
        )
        for n in (10, 50, 200)
    ),
    *(
        Feature(
            f"range_position_{n}",
            _range_position(n),
            n,
            f"close inside the range of {n} bars, 0 low to 1 high",
        )
        for n in (20, 50, 200)
    ),
    *(
        Feature(
            f"drawdown_{n}",
            _drawdown(n),
            max(_WARM, n),
            f"log of close over the highest price of {n} bars, in units of volatility over them",
            "volatility",
        )
        for n in (50, 200)
    ),
    Feature(
        "autocorrelation_50", _autocorrelation(50), 52, "first autocorrelation of 50 log returns about zero"
    ),
)
