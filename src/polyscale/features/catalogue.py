"""The features that come with the product: the chapter's, corrected, and those that volatility asks for.

Every one is free of the price's and the volume's own unit. Where the chapter's formula is left, the meaning
says why. ``log`` of a variance or a range has a floor inside, so that a constant price gives a finite number.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from polyscale.features.feature import Feature
from polyscale.features.realised import VARIANCE_FLOOR

_WILDER_BARS: Final = 280  # (13/14)^280 < 1e-9: the forgotten weight
_RSI_BARS: Final = 14
_USUAL_BARS: Final = 50  # what a bar's volatility is measured against

_open, _high, _low, _close, _volume = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))
_return = (_close / _close.shift(1)).log()
_range = (_high / _low).log()


def _log_return(bars: int) -> pl.Expr:
    return (_close / _close.shift(bars)).log()


def _log_volatility(bars: int) -> pl.Expr:
    """Half the log of the mean squared return."""
    return 0.5 * (_return.pow(2).rolling_mean(bars) + VARIANCE_FLOOR).log()


def _log_parkinson(bars: int) -> pl.Expr:
    """Half the log of Parkinson's variance (1980): mean of log(high / low)^2 / (4 log 2)."""
    return 0.5 * (_range.pow(2).rolling_mean(bars) / 2.772588722239781 + VARIANCE_FLOOR).log()


def _rsi(gain: pl.Expr, loss: pl.Expr) -> pl.Expr:
    """(gain - loss) / (gain + loss) in [-1, 1], which is (RSI - 50) / 50; 0 where nothing moved."""
    moved = gain + loss
    return pl.when(moved > 0).then((gain - loss) / moved).otherwise(0.0)


_change = _close - _close.shift(1)
_gain, _loss = _change.clip(lower_bound=0), (-_change).clip(lower_bound=0)


def _wilder(values: pl.Expr) -> pl.Expr:
    return values.ewm_mean(alpha=1 / _RSI_BARS, adjust=False, ignore_nulls=True)


_FEATURES: Final = [
    Feature("log_return", _log_return(1), 2, "log return of the bar"),
    Feature("return_5", _log_return(5), 6, "log return of 5 bars"),
    Feature("return_10", _log_return(10), 11, "log return of 10 bars"),
    Feature("volatility_5", _return.rolling_std(5), 6, "standard deviation of 5 log returns"),
    Feature("volatility_20", _return.rolling_std(20), 21, "standard deviation of 20 log returns"),
    Feature(
        "volume_ratio",
        pl.when(_volume.rolling_mean(20) > 0).then(_volume / _volume.rolling_mean(20)).otherwise(1.0),
        20,
        "volume over its mean of 20 bars; 1 where nothing was traded in all of them",
    ),
    Feature(
        "volume_change",
        pl.when(_volume + _volume.shift(1) > 0)
        .then((_volume - _volume.shift(1)) / (_volume + _volume.shift(1)))
        .otherwise(0.0),
        2,
        "change of volume over the sum, in [-1, 1]; the chapter's ratio is infinite after no volume",
    ),
    Feature("high_low_ratio", (_high - _low) / _close, 1, "range over close"),
    Feature(
        "close_position",
        pl.when(_high > _low).then((_close - _low) / (_high - _low)).otherwise(0.5),
        1,
        "close inside the range, 0 low to 1 high; 0.5 without one (the chapter's 1e-8 distorts cheap coins)",
    ),
    *[
        Feature(
            f"ma_{n}_ratio",
            _close / _close.rolling_mean(n) - 1,
            n,
            f"close over its mean of {n} bars, less 1",
        )
        for n in (5, 10, 20, 50)
    ],
    Feature(
        "rsi",
        _rsi(_wilder(_gain), _wilder(_loss)),
        _WILDER_BARS,
        "Wilder's RSI of 14 bars as (RSI - 50) / 50; warm when the forgotten weight is below 1e-9",
    ),
    Feature(
        "rsi_simple",
        _rsi(_gain.rolling_mean(_RSI_BARS), _loss.rolling_mean(_RSI_BARS)),
        _RSI_BARS + 1,
        "the chapter's RSI, by simple means, as (RSI - 50) / 50",
    ),
    *[
        Feature(
            f"relative_{name}",
            measure(bars) - _log_volatility(_USUAL_BARS),
            _USUAL_BARS + 1,
            f"{what}, less the log realised volatility of {_USUAL_BARS} bars",
        )
        for name, measure, bars, what in (
            ("move", _log_volatility, 1, "half the log squared return of the bar"),
            ("volatility_5", _log_volatility, 5, "log realised volatility of 5 bars"),
            ("volatility_20", _log_volatility, 20, "log realised volatility of 20 bars"),
            ("range", _log_parkinson, 1, "half the log Parkinson variance of the bar"),
            ("range_5", _log_parkinson, 5, "log Parkinson volatility of 5 bars"),
            ("range_20", _log_parkinson, 20, "log Parkinson volatility of 20 bars"),
        )
    ],
    *[
        Feature(
            f"scaled_return_{bars}",
            _log_return(bars) / ((2 * _log_volatility(_USUAL_BARS)).exp() * bars).sqrt(),
            _USUAL_BARS + 1,
            f"log return of {bars} bars in units of the realised volatility of {_USUAL_BARS} bars",
        )
        for bars in (1, 5, 10, 20, 50)
    ],
    Feature(
        "log_volume_ratio",
        pl.when(_volume.rolling_mean(20) > 0)
        .then((_volume / _volume.rolling_mean(20) + 0.01).log())
        .otherwise(0.0),
        20,
        "log volume over its mean of 20 bars, floored at 1 %",
    ),
]

CATALOGUE: Final[dict[str, Feature]] = {feature.name: feature for feature in _FEATURES}

CHAPTER: Final[tuple[str, ...]] = (
    "log_return",
    "return_5",
    "return_10",
    "volatility_5",
    "volatility_20",
    "volume_ratio",
    "volume_change",
    "high_low_ratio",
    "close_position",
    "ma_5_ratio",
    "ma_10_ratio",
    "ma_20_ratio",
    "ma_50_ratio",
    "rsi",
)
"""The chapter's set less its twins (``return_1`` is ``log_return``, ``rsi_normalized`` is ``rsi``)."""
