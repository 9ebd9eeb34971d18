"""Several networks' forecasts of one symbol as one: the mean of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast

_MEANS = ("quantiles", "prob_up", "expected_return", "scale_weights", "cross_attention")


def average(forecasts: Sequence[Forecast]) -> Forecast:
    """Mean of log variances, quantiles, probabilities and weights; rising quantiles stay rising.

    Raises
    ------
    DataError
        If there is none, or they are not of the same origins.
    """
    if not forecasts:
        raise DataError("an ensemble needs at least 1 forecast, got 0")
    first = forecasts[0]
    if any(not np.array_equal(first.close_time, other.close_time) for other in forecasts):
        raise DataError("an ensemble needs forecasts at the same origins; make them from the same bars")
    means = {name: np.mean([getattr(each, name) for each in forecasts], axis=0) for name in _MEANS}
    return replace(
        first, volatility=np.exp(np.mean([np.log(each.volatility) for each in forecasts], axis=0)), **means
    )
