"""How far off the base forecast was at the same time of earlier days and weeks, and of late.

In: labels of log variance and the base's forecasts. Out: mean surprises per origin and horizon, log realised
less log forecast, each known when the last of its labels has ended. A market's habits of the hour and of the
weekday, which a few sines do not tell, stand in them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from polyscale.features.windows import lag, trailing_sum
from polyscale.market.timeframe import DAY_MS, Timeframe

Floats = NDArray[np.float64]
_CLIP: Final = 3.0  # log units; one crash is one surprise
_SAME_TIME: Final = {  # name -> days ago
    "on the last 5 days at this time": (1, 2, 3, 4, 5),
    "a week ago at this time": (7,),
    "in the last 4 weeks at this time": (7, 14, 21, 28),
}
_OF_LATE: Final = {"over the labels that ended within a day": 1, "within a week": 7}  # name -> days
SURPRISES: Final = (*_SAME_TIME, *_OF_LATE)
"""What the columns of `surprises` are, for each horizon in turn."""
DAYS_BACK: Final = 28  # the oldest origin whose surprise is looked at


def surprises(
    log_variance: Floats, base: Floats, bars_ahead: tuple[int, ...], timeframe: Timeframe
) -> Floats:
    """Mean surprises [T, H x 5]; 0 where no label of the kind is known: the base expects none.

    Parameters
    ----------
    log_variance, base
        [T, H] labels and the base's forecasts on the grid of base bars, NaN where unknown.
    bars_ahead
        [H] base bars in each horizon.
    """
    off, day = np.clip(log_variance - base, -_CLIP, _CLIP), DAY_MS // timeframe.ms
    columns = []
    for h, ahead in enumerate(bars_ahead):
        columns += [_same_time(off[:, h], days, day, ahead) for days in _SAME_TIME.values()]
        ended = lag(off[:, h], ahead)
        columns += [_trailing_mean(ended, max(days * day, 1)) for days in _OF_LATE.values()]
    return np.column_stack(columns)


def _same_time(off: Floats, days: tuple[int, ...], day: int, ahead: int) -> Floats:
    """Mean of what is known of the surprises so many days ago; labels that have not ended are left out."""
    total, count = np.zeros(len(off)), np.zeros(len(off))
    for bars in (ago * day for ago in days if ago * day >= ahead):
        then = lag(off, bars)
        known = np.isfinite(then)
        total[known] += then[known]
        count += known
    return total / np.maximum(count, 1)


def _trailing_mean(values: Floats, bars: int) -> Floats:
    """Mean of the known ones among the last ``bars`` rows; fewer rows than that will do."""
    known, before = np.isfinite(values), np.zeros(bars)
    total = trailing_sum(np.concatenate([before, np.where(known, values, 0.0)]), bars)[bars:]
    count = trailing_sum(np.concatenate([before, known.astype(np.float64)]), bars)[bars:]
    return total / np.maximum(count, 1)
