"""What is to be forecast at each origin t, per horizon h, with the time at which it is known.

In: base bars on their grid. Out: `Targets`. A target whose bars are not all there (a gap, or the end of the
data) is NaN; ``label_end = t + h``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.features.realised import squared_returns
from polyscale.features.windows import lead, trailing_mean
from polyscale.market.timeframe import Timeframe

Floats = NDArray[np.float64]
_MIN_SIGMA: Final = 1e-5  # per bar
_MIN_SHARE: Final = 0.9  # of the last day's bars, for sigma alone: a label needs all of its bars
_DAY: Final = Timeframe(1_440)


@dataclass(frozen=True, eq=False)
class Targets:
    """Labels of T origins and H horizons, NaN where unknown.

    ``sigma`` alone is no label: it is the causal volatility of the last day, known at t.
    """

    horizons: tuple[Timeframe, ...]
    bars_ahead: tuple[int, ...]  # [H] base bars in each horizon
    log_return: Floats  # [T, H] log(C[t+h] / C[t])
    scaled_return: Floats  # [T, H] log_return / (sigma_t sqrt(bars in h))
    up: Floats  # [T, H] 1 after a rise, 0 after a fall, NaN for exactly zero
    log_variance: Floats  # [T, H] log of the mean of squared log returns + 1e-10 over (t, t+h], per base bar
    sigma: Floats  # [T] volatility per base bar, NaN until there is a day of bars


def make_targets(bars: pl.DataFrame, base: Timeframe, horizons: Sequence[Timeframe]) -> Targets:
    """Compute the labels of every origin.

    Parameters
    ----------
    bars
        Base bars on their grid (`polyscale.scales.grid.to_grid`), null where missing.

    Raises
    ------
    ConfigError
        If a horizon is no whole multiple of the base timeframe.
    """
    bars_ahead = tuple(base.bars_in(horizon) for horizon in horizons)
    close = log_close(bars)
    squared = squared_returns(close)
    sigma = np.maximum(np.sqrt(trailing_mean(squared, base.bars_in(_DAY), _MIN_SHARE)), _MIN_SIGMA)
    log_return = np.column_stack([lead(close, n) - close for n in bars_ahead])
    variance = np.column_stack([lead(trailing_mean(squared, n), n) for n in bars_ahead])
    return Targets(
        horizons=tuple(horizons),
        bars_ahead=bars_ahead,
        log_return=log_return,
        scaled_return=log_return / (sigma[:, None] * np.sqrt(bars_ahead)),
        up=np.where((log_return == 0) | np.isnan(log_return), np.nan, log_return > 0),
        log_variance=np.log(variance),
        sigma=sigma,
    )


def log_close(bars: pl.DataFrame) -> Floats:
    """Log closing prices [T], NaN where a bar is missing."""
    return np.log(bars["close"].fill_null(np.nan).to_numpy())
