"""Continuous ranked probability score of a forecast that is known by a few of its quantiles.

In: what came, and quantiles at levels that may be spread unevenly. Out: the score of each origin, in the unit
of what came; small is good. Known when the label is known.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from polyscale.evaluation.losses import pinball
from polyscale.market.errors import DataError


def crps(
    y: Float64[np.ndarray, "*shape"],
    quantiles: Float64[np.ndarray, "*shape q"],
    levels: Float64[np.ndarray, " q"],
) -> Float64[np.ndarray, "*shape"]:
    """CRPS from quantiles: twice the pinball loss, weighted by the share of levels that each stands for.

    The score is ``2 * integral over p in (0, 1) of pinball_p(y, q(p))`` (Gneiting and Ranjan 2011, J. Bus.
    Econ. Statistics 29), here summed by `level_weights`. The sum is least at the true quantiles whatever the
    levels are, since no weight is negative; a distribution drawn through the quantiles would not promise
    that. A few levels see too little of the tails: of a standard normal, the seven levels 2.5, 10, 25, 50,
    75, 90 and 97.5 % give 0.97 of its CRPS. So scores compare forecasts at the same levels alone. NaN in
    gives NaN out.

    Raises
    ------
    DataError
        If levels are not between 0 and 1, rise not, or are not as many as the quantiles.
    """
    if quantiles.shape[-1] != levels.size:
        raise DataError(f"crps needs a level for each quantile, got {levels.size} for {quantiles.shape[-1]}")
    return 2.0 * (pinball(y, quantiles, levels) @ level_weights(levels))


def level_weights(levels: Float64[np.ndarray, " q"]) -> Float64[np.ndarray, " q"]:
    """Share of (0, 1) that is nearer to each level than to any other; the shares sum to 1.

    The tails' rule: the outermost levels stand for all that lies beyond them. At the levels ``(k - 1/2) / Q``
    all weights are ``1 / Q``.

    Raises
    ------
    DataError
        If there is no level, one is not between 0 and 1, or they do not rise.
    """
    if levels.size == 0 or levels[0] <= 0.0 or levels[-1] >= 1.0 or not (np.diff(levels) > 0.0).all():
        raise DataError(f"levels must rise and lie between 0 and 1, got {levels.tolist()}")
    return np.diff(np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2.0, [1.0]]))
