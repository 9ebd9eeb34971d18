"""All that is asked of a value at risk and its expected shortfall, at one horizon.

In: returns and both forecasts (as returns, negative) at origins whose labels do not overlap. Out: a
`TailRisk`: exceptions, tests of their rate (with its power) and independence, joint loss, test of shortfall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from polyscale.evaluation.bootstrap import Bootstrap, Interval, mean_interval
from polyscale.evaluation.expected_shortfall import ShortfallTest, exceedance_residuals, fissler_ziegel
from polyscale.evaluation.var_coverage import (
    LikelihoodRatio,
    Power,
    conditional_coverage,
    coverage_power,
    independence,
    unconditional_coverage,
)
from polyscale.market.errors import DataError

_ALTERNATIVES: Final = (0.5, 1.0, 2.0)  # true rates at which power is stated, in nominal rates
SIZE: Final = 0.05  # of each test


@dataclass(frozen=True)
class Shortfall:
    """Joint loss of value at risk and shortfall (FZ0), and the test of shortfall alone."""

    loss: Interval
    test: ShortfallTest


@dataclass(frozen=True)
class Exceptions:
    """How often a value at risk was exceeded, and whether that is the nominal rate."""

    num: int
    kupiec: LikelihoodRatio


@dataclass(frozen=True)
class TailRisk:
    """A value at risk held against what came; ``shortfall`` is None where none was forecast.

    A value at risk that moves with its own misses has the nominal rate nearly by construction: its exceptions
    scatter less than independent ones, Kupiec's test hardly ever refuses it, and the power, which is that of
    independent exceptions, is not its own. The same test of what it was before the steps says more.
    """

    level: float  # nominal share of returns at or below the value at risk
    num_origins: int
    num_exceptions: int
    kupiec: LikelihoodRatio
    kupiec_power: tuple[Power, ...]  # at half, once (the exact size) and twice the nominal rate, test at 5 %
    independence: LikelihoodRatio
    conditional_coverage: LikelihoodRatio
    shortfall: Shortfall | None
    before_steps: Exceptions | None = None  # of the value at risk that no step had moved

    @property
    def share(self) -> float:
        """Share of origins with an exception."""
        return self.num_exceptions / self.num_origins

    @property
    def refused(self) -> tuple[str, ...]:
        """Names of the tests that refuse at 5 %; a test that does not exist refuses nothing."""
        tests = {
            "Kupiec": self.kupiec.p_value,
            "independence": self.independence.p_value,
            "conditional coverage": self.conditional_coverage.p_value,
            "shortfall": self.shortfall.test.p_two_sided if self.shortfall else None,
        }
        return tuple(name for name, p_value in tests.items() if p_value is not None and p_value < SIZE)


def score_tail_risk(
    returns: Float64[np.ndarray, " n"],
    value_at_risk: Float64[np.ndarray, " n"],
    shortfall: Float64[np.ndarray, " n"] | None,
    level: float,
    bootstrap: Bootstrap,
    before_steps: Float64[np.ndarray, " n"] | None = None,
) -> TailRisk:
    """Score one horizon.

    Parameters
    ----------
    returns, value_at_risk, shortfall
        Finite, in order of time, at origins whose labels do not overlap: where the horizon spans h origins,
        every h-th of them. A return at the value at risk is an exception, as in the share of a quantile.
    level
        Of the value at risk, such as 0.01.
    bootstrap
        For the interval of the joint loss; its draws and seed serve the test of shortfall too.
    before_steps
        The value at risk before it was moved by its own misses.

    Raises
    ------
    DataError
        If lengths differ, a number is not finite, there is no origin, or a shortfall is not negative or lies
        above its value at risk.
    """
    if returns.shape != value_at_risk.shape or not np.isfinite([returns, value_at_risk]).all():
        raise DataError(
            "tail risk needs finite returns and values at risk of one length, "
            f"got {returns.size} and {value_at_risk.size}; leave the others out first"
        )
    exceeded = returns <= value_at_risk
    return TailRisk(
        level=level,
        num_origins=exceeded.size,
        num_exceptions=int(exceeded.sum()),
        kupiec=unconditional_coverage(exceeded, level),
        kupiec_power=coverage_power(exceeded.size, level, [f * level for f in _ALTERNATIVES], SIZE),
        independence=independence(exceeded),
        conditional_coverage=conditional_coverage(exceeded, level),
        shortfall=None
        if shortfall is None
        else Shortfall(
            loss=mean_interval(fissler_ziegel(returns, value_at_risk, shortfall, level), bootstrap),
            test=exceedance_residuals(
                returns, value_at_risk, shortfall, num_draws=bootstrap.num_draws, seed=bootstrap.seed
            ),
        ),
        before_steps=None if before_steps is None else _exceptions(returns <= before_steps, level),
    )


def _exceptions(exceeded: Bool[np.ndarray, " n"], level: float) -> Exceptions:
    return Exceptions(int(exceeded.sum()), unconditional_coverage(exceeded, level))
