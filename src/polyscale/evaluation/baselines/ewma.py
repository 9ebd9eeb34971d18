"""Exponentially weighted mean of squared returns (RiskMetrics 1996), its decay chosen per horizon.

In: rows. Out: forecasts at the wanted origins. The decay, one of few, and the bias correction are those with
the least QLIKE on training origins, pooled over symbols, and frozen; the mean itself is known at each close.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.signal import lfilter

from polyscale.evaluation.baselines.correction import log_bias
from polyscale.evaluation.baselines.rows import Floats, Rows, check_learnable, learnable
from polyscale.evaluation.losses import qlike
from polyscale.features.realised import squared_returns
from polyscale.targets.targets import log_close

HALF_LIVES_H: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 48.0, 120.0)
_EVERY_MINUTES: Final = 15
_SEEN: Final = 0.9  # of all weight must lie on bars that were there


def ewma(rows: Rows, seed: int = 1) -> list[Floats]:
    """Log of the weighted mean of squared returns, for each horizon with its own half-life."""
    check_learnable(rows)
    per_hour = 3_600_000 / rows.data.base.ms
    half_lives = sorted({max(hours * per_hour, 1.0) for hours in HALF_LIVES_H})
    means = [
        np.column_stack(
            [np.log(weighted_mean(squared_returns(log_close(panel.bars)), n)) for n in half_lives]
        )
        for panel in rows.panels
    ]
    trained = [learnable(panel, mask, _EVERY_MINUTES) for panel, mask, _, _ in rows]
    said = np.concatenate([mean[mask] for mean, mask in zip(means, trained, strict=True)])
    came = np.concatenate(
        [panel.targets.log_variance[mask] for panel, mask in zip(rows.panels, trained, strict=True)]
    )
    said, came = said[np.isfinite(said).all(axis=1)], came[np.isfinite(said).all(axis=1)]
    chosen = [_best(said, came[:, h]) for h in range(came.shape[1])]
    return [
        np.column_stack([mean[wanted, k] + bias for k, bias in chosen])
        for mean, wanted in zip(means, rows.wanted, strict=True)
    ]


def weighted_mean(values: Floats, half_life: float) -> Floats:
    """Mean of the values up to each row [T], a weight halving every ``half_life`` rows into the past.

    A missing value (NaN) has no weight; NaN where nine tenths of the weight of an endless past are not there.
    """
    keep = 0.5 ** (1 / half_life)
    known = np.isfinite(values)
    total, weight = (
        np.asarray(lfilter([1 - keep], [1, -keep], series))
        for series in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight >= _SEEN, total / weight, np.nan)


def _best(said: Floats, came: Floats) -> tuple[int, float]:
    """Which candidate, and its bias correction."""
    biases = [log_bias(came - one) for one in said.T]
    losses = [qlike(came, one + bias).mean() for one, bias in zip(said.T, biases, strict=True)]
    best = int(np.argmin(losses))
    return best, biases[best]
