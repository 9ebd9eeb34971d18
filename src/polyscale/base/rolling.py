"""A linear forecast refitted every midnight on matured rows only: an online fit, causal in the test as well.

In: regressors known at t, labels known at t + h. Out: one forecast of log variance per bar and horizon, NaN
until there are enough matured rows. The coefficients used in (D, D + 1 day] come from rows with ``label_end
<= D``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from polyscale.base.settings import BaseSettings
from polyscale.market.timeframe import DAY_MS, MINUTE_MS, Timeframe

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_HUBER_K: Final = 1.345  # 95 % efficient under normal errors (Huber 1964)
_MAD_TO_SD: Final = 1.4826
_CLIP_SD: Final = 4.0  # residuals beyond it do not move the bias correction
_MAX_STEPS: Final = 12
_TOLERANCE: Final = 1e-5


class Loss(Enum):
    """How the rolling regression weighs its residuals."""

    SQUARED = "squared"
    HUBER = "huber"


# the matrices are small: a second thread of BLAS gains nothing, and on a shared core spins for minutes
@threadpool_limits.wrap(limits=1, user_api="blas")
def rolling_forecast(
    regressors: Floats,
    log_variance: Floats,
    time_ms: Ints,
    horizons: Sequence[Timeframe],
    settings: BaseSettings,
    loss: Loss,
    since_ms: int | None = None,
) -> Floats:
    """Forecast log mean variance at every row; known when: each row at its own time.

    Parameters
    ----------
    regressors
        [T, P], NaN where not warm.
    log_variance
        [T, H] labels, NaN where unknown; a label of row t and horizon h is used from t + h on.
    time_ms
        [T] close times, rising.
    since_ms
        Rows of earlier days are left NaN, and nothing is fitted for them; absent for all rows.

    Returns
    -------
    numpy.ndarray
        [T, H] log of the expected mean variance: the regression's value plus the log of the mean of
        exp(residual), residuals clipped at 4 robust standard deviations; kept within the labels that it was
        fitted on, for a crash among the regressors takes a line anywhere (the insanity filter of Swanson and
        White 1997).
    """
    warm = np.isfinite(regressors).all(axis=1)
    fitted = warm & ((time_ms // MINUTE_MS) % settings.every_minutes == 0)
    forecast = np.full(log_variance.shape, np.nan)
    first_day = max(int(time_ms[0]), since_ms or 0) // DAY_MS
    for day in range(first_day, int(time_ms[-1] // DAY_MS) + 1):
        midnight = day * DAY_MS
        start, end = np.searchsorted(time_ms, [midnight, midnight + DAY_MS])
        first = np.searchsorted(time_ms, midnight - settings.window_days * DAY_MS, side="right")
        for h, horizon in enumerate(horizons):
            matured = np.searchsorted(time_ms, midnight - horizon.ms, side="right")
            rows = np.arange(first, matured)
            rows = rows[fitted[rows] & np.isfinite(log_variance[rows, h])]
            if not _enough(time_ms[rows], settings, regressors.shape[1]):
                continue
            labels = log_variance[rows, h]
            coefficients = _fit(regressors[rows], labels, loss)
            said = coefficients[0] + regressors[start:end] @ coefficients[1:]
            forecast[start:end, h] = np.clip(said, labels.min(), labels.max())
    return forecast


def _enough(time_ms: Ints, settings: BaseSettings, num_regressors: int) -> bool:
    """Whether the matured rows hold the days asked for, counted as rows, so that gaps do not count."""
    per_day = 1_440 // max(settings.every_minutes, _step_minutes(time_ms))
    return len(time_ms) >= max(settings.min_days * per_day, 3 * (num_regressors + 1))


def _step_minutes(time_ms: Ints) -> int:
    return int(np.diff(time_ms).min() // MINUTE_MS) if len(time_ms) > 1 else 1


def _fit(x: Floats, y: Floats, loss: Loss) -> Floats:
    """Coefficients [1 + P], the bias correction inside the first."""
    centre = x.mean(axis=0)
    design = np.column_stack([np.ones(len(x)), x - centre])
    equations = _Equations(design.T @ design, design.T @ y)
    beta = equations.solve()
    if loss is Loss.HUBER:
        beta = _huber(design, y, equations, beta)
    residual = y - design @ beta
    limit = _CLIP_SD * _robust_sd(residual)
    beta[0] += np.log(np.mean(np.exp(np.clip(residual, -limit, limit)))) - centre @ beta[1:]
    return beta


class _Equations(NamedTuple):
    """Normal equations, solved with a trace of ridge, so that a constant regressor is no accident."""

    gram: Floats
    moment: Floats

    def solve(self) -> Floats:
        gram = self.gram.copy()
        gram[np.diag_indices_from(gram)] += 1e-10 * np.trace(gram) / len(gram)
        return np.asarray(np.linalg.solve(gram, self.moment), dtype=np.float64)

    def without(self, design: Floats, y: Floats, share: Floats) -> _Equations:
        """Take a share of some rows out of the sums: far fewer than to sum the others again."""
        taken = design * share[:, None]
        return _Equations(self.gram - taken.T @ design, self.moment - taken.T @ y)


def _huber(design: Floats, y: Floats, equations: _Equations, beta: Floats) -> Floats:
    """Iteratively reweighted least squares from the least-squares start, at that start's robust scale."""
    limit = _HUBER_K * max(_robust_sd(y - design @ beta), 1e-12)
    for _ in range(_MAX_STEPS):
        size = np.abs(y - design @ beta)
        far = np.flatnonzero(size > limit)
        moved = equations.without(design[far], y[far], 1 - limit / size[far]).solve()
        done = np.abs(moved - beta).max() < _TOLERANCE
        beta = moved
        if done:
            break
    return beta


def _robust_sd(residual: Floats) -> float:
    return _MAD_TO_SD * float(np.median(np.abs(residual - np.median(residual))))
