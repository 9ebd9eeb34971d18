"""How an account is shared out among symbols, from forecast volatilities and past correlations.

In: forecast volatility per symbol, past returns, the rule. Out: shares >= 0 that sum to 1. Every rule sees
the same picture of risk: past returns of each symbol, scaled so that their deviation is the forecast one.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyscale.market.errors import ConfigError

Floats = NDArray[np.float64]
Allocation: TypeAlias = Literal[
    "equal",
    "inverse_volatility",
    "minimum_variance",
    "risk_budgeting",
    "maximum_diversification",
    "hierarchical_risk_parity",
]
_OPTIMISERS: Final = {  # of skfolio
    "minimum_variance": "MeanRisk",
    "risk_budgeting": "RiskBudgeting",
    "maximum_diversification": "MaximumDiversification",
    "hierarchical_risk_parity": "HierarchicalRiskParity",
}
MIN_RETURNS: Final = 100  # with fewer a correlation is noise
_MIN_DEVIATION: Final = 1e-12


def correlation(returns: Floats) -> Floats:
    """[N, N] of past returns [T, N]; all ones, no diversification, where they are too few or do not vary."""
    num = returns.shape[1]
    if len(returns) < MIN_RETURNS:
        return np.ones((num, num))
    deviation = returns.std(axis=0)
    moving = deviation > _MIN_DEVIATION
    scaled = (returns - returns.mean(axis=0)) / np.where(moving, deviation, 1.0)
    found = scaled.T @ scaled / len(returns)
    return np.where(moving[:, None] & moving[None, :], found, 1.0)


def allocate(rule: Allocation, volatility: Floats, returns: Floats) -> Floats:
    """Shares [N] of the account.

    Parameters
    ----------
    volatility
        [N] forecast standard deviation of each symbol's return, > 0, all over the same horizon.
    returns
        [T, N] past returns, known. Fewer than `MIN_RETURNS` leave an optimiser no ground: then the shares are
        those of inverse volatility.

    Raises
    ------
    ConfigError
        If the rule is an optimiser of skfolio and that is not installed.
    """
    num = len(volatility)
    if rule == "equal" or num == 1:
        return np.full(num, 1.0 / num)
    inverse = 1.0 / volatility
    if rule == "inverse_volatility" or len(returns) < MIN_RETURNS:
        return inverse / inverse.sum()
    deviation = returns.std(axis=0, ddof=1)
    scaled = returns * np.where(
        deviation > _MIN_DEVIATION, volatility / np.maximum(deviation, _MIN_DEVIATION), 0
    )
    weights = np.asarray(_optimiser(rule).fit(scaled / scaled.std()).weights_, dtype=np.float64)
    weights = np.maximum(weights, 0.0)
    return weights / weights.sum()


def _optimiser(rule: Allocation) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says of its own future on being imported
            from skfolio import optimization
    except ImportError as error:
        raise ConfigError(
            f"allocation {rule} is an optimiser of skfolio, which is not installed; "
            "pip install polyscale[portfolio], or take equal or inverse_volatility"
        ) from error
    return getattr(optimization, _OPTIMISERS[rule])()
