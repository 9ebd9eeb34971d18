"""The bias correction that turns a forecast of log variance into one of variance, as QLIKE wants it.

QLIKE is least where exp(realised - forecast) averages 1: the constant that makes it so is the log of that
mean.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_MAD_TO_SD: Final = 1.4826
_CLIP_SD: Final = 4.0  # as in the base forecast: one crash does not move the correction


def log_bias(residual: Floats) -> float:
    """What to add to forecasts whose residuals [n] in log variance these were.

    The log of the mean of exp(residual), residuals clipped at 4 robust standard deviations about their
    median.
    """
    middle = float(np.median(residual))
    limit = _CLIP_SD * _MAD_TO_SD * float(np.median(np.abs(residual - middle)))
    return middle + float(np.log(np.mean(np.exp(np.clip(residual - middle, -limit, limit)))))
