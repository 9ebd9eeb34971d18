"""What a forecast of volatility is worth to somebody who holds the coin anyway.

In: forecasts of the volatility of one symbol by several hands, an exchange, costs. Out: `ManagedComparison`:
one account per forecast, its size such that the forecast volatility is the target, and one of constant size,
the mean size of the first. All pay all costs. Differences have block-bootstrap intervals over days.

The utility is that of a mean-variance investor, ``r - gamma / 2 (r - mean r)^2`` per day; a difference in it
is what the investor would pay a year to have one account rather than the other.

References
----------
.. [1] Fleming, J., Kirby, C. and Ostdiek, B. (2001). The economic value of volatility timing. The Journal of
   Finance, 56(1).
.. [2] Moreira, A. and Muir, T. (2017). Volatility-managed portfolios. The Journal of Finance, 72(4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from polyscale.backtesting.engine import Exchange
from polyscale.backtesting.result import BacktestResult
from polyscale.backtesting.settings import BacktestSettings
from polyscale.evaluation.bootstrap import (
    Bootstrap,
    Interval,
    block_length,
    mean_interval,
    percentile_interval,
    resampled_means,
)
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.trading.by_period import returns_by
from polyscale.market.errors import DataError
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.managed import ManagedSettings, volatility_managed

DAY: Final = Timeframe(1_440)
DAYS: Final = 365
RISK_AVERSION: Final = 5.0  # gamma
CONSTANT: Final = "constant"  # the account of constant size
_MIN_DEVIATION: Final = 1e-12


@dataclass(frozen=True)
class Account:
    """One account over the test; None where a figure does not exist."""

    total_return: float | None
    volatility: float  # sd of daily returns, a year
    sharpe_ratio: float | None  # of daily returns, a year
    max_drawdown: float | None
    mean_target: float  # share of equity
    turnover: float | None  # mean equities
    costs_share: float  # of the initial capital
    miss: float | None  # mean |log of a week's realised volatility over the target's|


@dataclass(frozen=True)
class Against:
    """The first account less another one, a year."""

    sharpe_ratio: Interval | None  # None where the returns of one of them do not vary
    utility: Interval  # fraction of equity that the investor would pay


@dataclass(frozen=True)
class ManagedComparison:
    """All accounts by name, the first forecast's first, and what it is better by than each of the others."""

    horizon: Timeframe
    target_volatility: float
    num_days: int
    accounts: Mapping[str, Account]
    against: Mapping[str, Against]


def compare_managed(
    exchange: Exchange,
    close_time: NDArray[np.datetime64],
    volatilities: Mapping[str, Float64[np.ndarray, " n"]],
    horizon: Timeframe,
    managed: ManagedSettings,
    costs: BacktestSettings,
    judged: EvaluationSettings,
) -> ManagedComparison:
    """Run one account per forecast and one of constant size over the same bars.

    Parameters
    ----------
    exchange
        Of one symbol, its bars from the first forecast on.
    close_time
        [N] origins, rising, each the close of a bar.
    volatilities
        By name, standard deviation of the return over the horizon, > 0; the first is held against the others.

    Raises
    ------
    DataError
        If the exchange has more than one symbol, or there are no forecasts.
    """
    if len(exchange.grid.symbols) != 1 or not volatilities:
        raise DataError(
            f"managed holding compares forecasts of one symbol, got {len(volatilities)} forecasts of "
            f"{list(exchange.grid.symbols)}"
        )
    held = {
        name: volatility_managed(close_time, volatility, horizon, managed)
        for name, volatility in volatilities.items()
    }
    first = next(iter(held))
    size = _mean_target(held[first], exchange)
    held[CONSTANT] = Positions(held[first].close_time[:1], np.array([size]))
    symbol = exchange.grid.symbols[0]
    found = {name: exchange.run({symbol: positions}, costs) for name, positions in held.items()}
    daily = {name: returns_by(result, DAY) for name, result in found.items()}
    num_days = len(daily[first])
    bootstrap = Bootstrap(block_length(num_days, 1), judged.confidence, judged.num_bootstrap, judged.seed)
    accounts = {
        name: _account(result, daily[name], _mean_target(held[name], exchange), managed.target_volatility)
        for name, result in found.items()
    }
    against = {
        name: Against(
            sharpe_difference(daily[first], daily[name], bootstrap),
            utility_difference(daily[first], daily[name], bootstrap),
        )
        for name in held
        if name != first
    }
    return ManagedComparison(horizon, managed.target_volatility, num_days, accounts, against)


def sharpe_difference(
    own: Float64[np.ndarray, " d"], other: Float64[np.ndarray, " d"], bootstrap: Bootstrap
) -> Interval | None:
    """Difference of two yearly Sharpe ratios of daily returns, both resampled by the same blocks."""
    if min(own.std(), other.std()) <= _MIN_DEVIATION:
        return None

    def sharpe(mean: NDArray[np.float64], square: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean / np.sqrt(np.maximum(square - mean**2, _MIN_DEVIATION**2)) * math.sqrt(DAYS)

    draws = [
        sharpe(resampled_means(r, bootstrap), resampled_means(np.square(r), bootstrap)) for r in (own, other)
    ]
    exact = [float(sharpe(r.mean(), np.square(r).mean())) for r in (own, other)]
    return percentile_interval(
        exact[0] - exact[1], draws[0] - draws[1], own.size / bootstrap.block_length, bootstrap
    )


def utility_difference(
    own: Float64[np.ndarray, " d"], other: Float64[np.ndarray, " d"], bootstrap: Bootstrap
) -> Interval:
    """Difference of mean-variance utilities, a year: what one account is worth more than the other."""

    def utility(r: Float64[np.ndarray, " d"]) -> Float64[np.ndarray, " d"]:
        return r - RISK_AVERSION / 2.0 * np.square(r - r.mean())

    return mean_interval(DAYS * (utility(own) - utility(other)), bootstrap)


def _mean_target(positions: Positions, exchange: Exchange) -> float:
    """Mean of the target in force at the closes from the first decision on."""
    close_ms = exchange.grid.close_ms
    decided = positions.close_time.astype("datetime64[ms]").astype(np.int64)
    newest = np.searchsorted(decided, close_ms, side="right") - 1
    return float(positions.target[newest[newest >= 0]].mean())


def _account(
    result: BacktestResult, daily: Float64[np.ndarray, " d"], mean_target: float, target: float
) -> Account:
    deviation = float(daily.std(ddof=1))
    varies = deviation > _MIN_DEVIATION
    return Account(
        total_return=result.total_return,
        volatility=deviation * math.sqrt(DAYS),
        sharpe_ratio=float(daily.mean()) / deviation * math.sqrt(DAYS) if varies else None,
        max_drawdown=result.max_drawdown,
        mean_target=mean_target,
        turnover=result.turnover,
        costs_share=result.costs.total_share,
        miss=_miss(daily, target),
    )


def _miss(daily: Float64[np.ndarray, " d"], target: float) -> float | None:
    """How far the volatility of whole weeks is from the target, in logs: 0 is met in every week.

    None without a whole week, or where one did not move, as after a liquidation.
    """
    weeks = daily[: len(daily) // 7 * 7].reshape(-1, 7)
    realised = np.sqrt(np.square(weeks).mean(axis=1) * DAYS)
    if realised.size == 0 or realised.min() <= _MIN_DEVIATION:
        return None
    return float(np.abs(np.log(realised / target)).mean())
