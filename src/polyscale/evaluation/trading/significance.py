"""Whether what a sweep found is more than the best of so many tries.

In: a sweep. Out: a `Significance`: the deflated Sharpe ratio of the set that was chosen, with the sweep's own
trials, and the probability that the search is overfit. The one judges the set, the other the search; both
need every set that was tried, those that were thrown away too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from polyscale.evaluation.deflated_sharpe import SharpeScore, score_sharpe
from polyscale.evaluation.overfitting import Overfitting, measure_overfitting
from polyscale.evaluation.trading.sweep import Sweep
from polyscale.market.errors import DataError

# Shapes: d periods, n parameter sets.
# Where nine in ten probabilities of overfitting lie that searches of a study's grid of rules among noise come
# to, on random walks of 70 to 150 days: sets that share their trades tell less than as many that do not.
NOISE: Final = (0.05, 0.9)


@dataclass(frozen=True, eq=False)
class Significance:
    """What is left of the chosen set once the search is known."""

    chosen: int  # place of the set in the sweep
    sharpe: SharpeScore  # of its returns per period; its trials are all sets and those named beside them
    trial_variance: float | None  # of the sets' Sharpe ratios; None where fewer than two sets traded
    overfitting: Overfitting

    @property
    def reasons(self) -> dict[str, str]:
        """Why something is None, by its name."""
        found = {"sharpe": self.sharpe.reason, "overfitting": self.overfitting.reason}
        if self.trial_variance is None:
            found["trial_variance"] = "fewer than two sets traded: the spread that chance gives is taken"
        return {name: reason for name, reason in found.items() if reason}


def judge_sweep(
    found: Sweep[Any], *, chosen: int | None = None, other_trials: int = 0, num_blocks: int = 16
) -> Significance:
    """Score the chosen set of a sweep and the search that it came from.

    Parameters
    ----------
    found
        Its period should be no shorter than positions are held.
    chosen
        Place of the set to score; absent for the one with the best Sharpe ratio.
    other_trials
        Variants that were tried before or beside the sweep and are not in it. They count as trials, and are
        taken to be spread as the sweep's sets are.
    num_blocks
        Of `polyscale.evaluation.overfitting.measure_overfitting`.

    Raises
    ------
    DataError
        If there is no such set or ``other_trials < 0``.
    """
    num_sets = len(found.sets)
    place = int(np.argmax(found.sharpe_n)) if chosen is None else chosen
    if not 0 <= place < num_sets or other_trials < 0:
        raise DataError(
            f"needs a set from 0 to {num_sets - 1} and other_trials >= 0, got {place} and {other_trials}"
        )
    variance = _trial_variance(found.returns_dn, found.sharpe_n)
    return Significance(
        chosen=place,
        sharpe=score_sharpe(
            np.ascontiguousarray(found.returns_dn[:, place]), num_sets + other_trials, variance
        ),
        trial_variance=variance,
        overfitting=measure_overfitting(found.returns_dn, num_blocks),
    )


def _trial_variance(
    returns_dn: Float64[np.ndarray, "d n"], sharpe_n: Float64[np.ndarray, " n"]
) -> float | None:
    """Variance (``ddof=1``) over the sets that traded: cash would draw the spread together."""
    traded_n = np.ptp(returns_dn, axis=0) > 0.0
    return float(sharpe_n[traded_n].var(ddof=1)) if np.count_nonzero(traded_n) > 1 else None
