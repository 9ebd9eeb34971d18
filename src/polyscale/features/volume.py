"""How much is traded: against its own past, against its usual for the time of day, and on which side."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from polyscale.features.feature import Feature, Formula
from polyscale.features.inputs import Inputs
from polyscale.features.windows import mean_of_lags, ratio, trailing_mean, trailing_std, trailing_sum
from polyscale.market.timeframe import DAY_MS

Floats = NDArray[np.float64]
_LEAST_SPREAD: Final = 1e-6  # of the mean: below it, a correlation is rounding
_FLOOR: Final = 0.01  # of the usual volume: the log of none must exist
_SHARE_OF_DAYS: Final = 0.7  # days whose bar of that time must be there


def _log_ratio(volume: Floats, usual: Floats) -> Floats:
    """log(volume / usual + 1 %); 0 where nothing is usual."""
    return np.log(ratio(volume, usual, 1 - _FLOOR) + _FLOOR)


def _log_volume_ratio(x: Inputs) -> Floats:
    return _log_ratio(x.volume, trailing_mean(x.volume, 20))


def _against_time_of_day(values: Formula, days: int) -> Formula:
    """Log of a value over its mean at the same time of the days before."""

    def formula(x: Inputs) -> Floats:
        now = values(x)
        if x.timeframe.ms < DAY_MS and DAY_MS % x.timeframe.ms:  # no bar closes at the same time each day
            return np.full(len(now), np.nan)
        least = int(np.ceil(_SHARE_OF_DAYS * days))
        return _log_ratio(now, mean_of_lags(now, x.bars_per_day, days, least))

    return formula


def _volume(x: Inputs) -> Floats:
    return x.volume


def _range(x: Inputs) -> Floats:
    return x.log_range


def _volume_volatility(x: Inputs) -> Floats:
    return ratio(trailing_std(x.volume, 20), trailing_mean(x.volume, 20), 0.0)


def _signed_volume(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        signed = x.shared("signed_volume", lambda: np.sign(x.log_return) * x.volume)
        return ratio(trailing_sum(signed, bars), trailing_sum(x.volume, bars), 0.0)

    return formula


def _vwap_gap(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        traded = x.shared("typical_turnover", lambda: (x.high + x.low + x.close) / 3 * x.volume)
        distance = ratio(x.close * trailing_sum(x.volume, bars), trailing_sum(traded, bars), 1.0)
        return np.log(distance) / (x.usual_volatility * np.sqrt(bars))

    return formula


def _volume_and_moves(bars: int) -> Formula:
    """Correlation of volume and absolute return; 0 where either does not vary."""

    def formula(x: Inputs) -> Floats:
        moves, volume = x.absolute_return, x.volume
        product = x.shared("volume_times_move", lambda: moves * volume)
        joint = trailing_mean(product, bars) - trailing_mean(moves, bars) * trailing_mean(volume, bars)
        spread, mean = trailing_std(volume, bars), trailing_mean(volume, bars)
        unit = trailing_std(moves, bars) * spread
        correlation = np.clip(joint / unit * bars / (bars - 1), -1.0, 1.0)
        varies = (spread > _LEAST_SPREAD * mean) & (
            trailing_std(moves, bars) > _LEAST_SPREAD * trailing_mean(moves, bars)
        )
        return np.where(varies, correlation, np.where(np.isnan(unit), np.nan, 0.0))

    return formula


VOLUME: Final = (
    Feature(
        "log_volume_ratio",
        _log_volume_ratio,
        20,
        "log of volume over its mean of 20 bars, floored at 1 %",
        "log",
    ),
    *(
        Feature(
            f"{name}_time_of_day_{days}",
            _against_time_of_day(values, days),
            1,
            f"log of {what} over its mean at the same time (UTC) of the last {days} days, floored at 1 %; "
            f"{_SHARE_OF_DAYS:.0%} of them must be there. A bar of a day or more takes the last {days} bars; "
            "null where bars do not divide a day",
            "log",
            warm_days=days,
            handles_gaps=True,
        )
        for name, values, what in (("volume", _volume, "volume"), ("range", _range, "log(high/low)"))
        for days in (7, 28)
    ),
    Feature(
        "volume_volatility_20", _volume_volatility, 20, "standard deviation of 20 volumes over their mean"
    ),
    *(
        Feature(
            f"signed_volume_{n}",
            _signed_volume(n),
            n + 1,
            f"volume of rising bars less that of falling ones, over the volume of {n} bars; not order flow",
        )
        for n in (5, 20, 50)
    ),
    *(
        Feature(
            f"vwap_gap_{n}",
            _vwap_gap(n),
            51,
            f"log of close over the volume-weighted typical price of {n} bars, in their volatility",
            "volatility",
        )
        for n in (20, 50)
    ),
    Feature(
        "volume_and_moves_50",
        _volume_and_moves(50),
        51,
        "correlation of volume and |log return| over 50 bars",
    ),
)
