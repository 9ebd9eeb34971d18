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


def grounded(returns: Floats) -> NDArray[np.bool_]:
    """[N] of past returns [T, N]: which symbols have at least `MIN_RETURNS`, that vary where all have one.

    NaN is no return: the symbol was not there yet.
    """
    enough = np.isfinite(returns).sum(axis=0) >= MIN_RETURNS
    if not enough.any():
        return enough
    enough[enough] = _shared(returns, enough).std(axis=0) > _MIN_DEVIATION
    return enough


def correlation(returns: Floats) -> Floats:
    """[N, N] of past returns [T, N]; one, no diversification, for what has too few or stands still.

    Of the rows in which all of the others have a return: zeros in place of those that a late symbol has not
    would make it look independent.
    """
    num, moving = returns.shape[1], grounded(returns)
    found = np.ones((num, num))
    if moving.any():
        scaled = _shared(returns, moving)
        scaled = (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)
        found[np.ix_(moving, moving)] = scaled.T @ scaled / len(scaled)
    return found


def variance(exposed: Floats, returns: Floats) -> Floats:
    """[T] of accounts that hold ``exposed`` [T, N], weights times forecast volatilities.

    A correlation that is not known is taken to be against us: two longs move together, a long and a short
    apart. With a one for both, a short would hedge what nobody knows that it hedges.
    """
    known = grounded(returns)
    unknown = ~(known[:, None] & known[None, :])
    sure = np.where(unknown, 0.0, correlation(returns))
    size = np.abs(exposed)
    found = np.einsum("ti,ij,tj->t", exposed, sure, exposed)
    return np.maximum(found + np.einsum("ti,ij,tj->t", size, unknown.astype(np.float64), size), 0.0)


def allocate(rule: Allocation, volatility: Floats, returns: Floats) -> Floats:
    """Shares [N] of the account.

    Parameters
    ----------
    volatility
        [N] forecast standard deviation of each symbol's return, > 0, all over the same horizon.
    returns
        [T, N] past returns, known; NaN where a symbol was not there yet. Fewer than `MIN_RETURNS`, or a price
        that stands still, leave an optimiser no ground: such a symbol has its share of inverse volatility,
        and the optimiser shares out what is left among the others.

    Raises
    ------
    ConfigError
        If the rule is an optimiser of skfolio and that is not installed.
    """
    num = len(volatility)
    if rule == "equal" or num == 1:
        return np.full(num, 1.0 / num)
    inverse = 1.0 / volatility
    shares: Floats = inverse / inverse.sum()
    moving = grounded(returns)
    if rule == "inverse_volatility" or moving.sum() < 2:
        return shares
    past = _shared(returns, moving)
    scaled = past * (volatility[moving] / past.std(axis=0, ddof=1))
    weights = np.asarray(_optimiser(rule).fit(scaled / scaled.std()).weights_, dtype=np.float64)
    weights = np.maximum(weights, 0.0)
    shares[moving] = shares[moving].sum() * weights / weights.sum()
    return shares


def check_installed(rule: Allocation) -> None:
    """Raise `ConfigError` if the rule is an optimiser of skfolio and that is not installed."""
    if rule in _OPTIMISERS:
        _optimiser(rule)


def _shared(returns: Floats, moving: NDArray[np.bool_]) -> Floats:
    """Returns of the symbols that have ground, where all of them have one."""
    kept = returns[:, moving]
    return kept[np.isfinite(kept).all(axis=1)]


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
