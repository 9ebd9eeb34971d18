"""Some symbols' values as one dot with its whisker."""

from __future__ import annotations

import math
from collections.abc import Sequence

from polyscale.evaluation.bootstrap import Interval


def span_of(values: Sequence[float]) -> Interval:
    """The mean of some symbols, from the least to the greatest; one alone spans nothing."""
    mean = sum(values) / len(values)
    low, high = (min(values), max(values)) if len(values) > 1 else (None, None)
    return Interval(mean, low, high, math.nan)
