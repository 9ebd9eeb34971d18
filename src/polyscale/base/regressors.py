"""What the base forecast looks at: realised and range variance over four spans, and the season.

In: base bars on their grid. Out: one row of regressors per bar, known at its close, NaN until all spans are
warm.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.features.clock import season
from polyscale.features.realised import VARIANCE_FLOOR, squared_returns
from polyscale.features.windows import trailing_mean
from polyscale.market.timeframe import Timeframe
from polyscale.targets.targets import log_close

Floats = NDArray[np.float64]
SPANS: Final = tuple(Timeframe.parse(text) for text in ("1h", "4h", "1d", "7d"))
MIN_SHARE: Final = 0.9  # of a span's bars; a hole of hours silences a day of forecasts, not a week
_PARKINSON: Final = 4 * np.log(2)


def har_regressors(bars: pl.DataFrame, base: Timeframe) -> Floats:
    """Log mean realised variance over 1h, 4h, 1d and 7d [T, 4] (Corsi 2009, in logs).

    A span shorter than a base bar is taken as one bar; spans that become equal are given once.
    """
    squared = squared_returns(log_close(bars))
    return np.log(np.column_stack([trailing_mean(squared, n, MIN_SHARE) for n in span_bars(base)]))


def base_regressors(bars: pl.DataFrame, base: Timeframe) -> Floats:
    """The HAR regressors, Parkinson's range variance over the same spans, season of day and week [T, P]."""
    ranges = (
        np.log((bars["high"] / bars["low"]).fill_null(np.nan).to_numpy()) ** 2 / _PARKINSON + VARIANCE_FLOOR
    )
    parkinson = np.log(np.column_stack([trailing_mean(ranges, n, MIN_SHARE) for n in span_bars(base)]))
    time_ms = bars["close_time"].dt.epoch("ms").to_numpy()
    return np.column_stack([har_regressors(bars, base), parkinson, season(time_ms)])


def span_bars(base: Timeframe) -> list[int]:
    """Base bars in each span, at least one, without repeats."""
    return sorted({max(span.minutes // base.minutes, 1) for span in SPANS})
