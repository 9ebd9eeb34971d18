"""The chapter's backtest: its forecasts traded by the real strategy on the real account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from polyscale.backtesting import result as account
from polyscale.backtesting.engine import run_backtest
from polyscale.backtesting.settings import BPS, BacktestSettings
from polyscale.chapter.frames import Label, epoch_ms, time_index, timeframes, to_bars
from polyscale.chapter.windows import HORIZONS
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from polyscale.strategy.decide import decide
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.span import bars_of_test
from polyscale.targets.targets import make_targets

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Term = Literal["short_term", "medium_term", "long_term"]
_TERMS: tuple[Term, ...] = ("short_term", "medium_term", "long_term")


@dataclass(frozen=True)
class BacktestResult:
    """The chapter's eight numbers; one that does not exist is None, and ``details.reasons`` says why.

    All are after costs; ratios are those of bars' returns, a year of 365 days. ``details`` is the account
    itself: ledger, trades, fills, costs by kind.
    """

    total_return: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    max_drawdown: float | None  # positive fraction
    win_rate: float | None
    profit_factor: float | None
    n_trades: int
    equity_curve: pd.Series  # quote coin, by close_time
    details: account.BacktestResult = field(repr=False)


def backtest_multi_scale_strategy(
    predictions: Mapping[str, ArrayLike],
    prices: pd.DataFrame,
    initial_capital: float = 100_000,
    transaction_cost: float = 0.001,
    confidence_threshold: float = 0.6,
    position_sizing: Literal["fixed", "confidence", "kelly"] = "confidence",
    *,
    at: pd.DatetimeIndex | None = None,
    horizon: Term = "medium_term",
    horizons: Sequence[str] = HORIZONS,
    label: Label | None = None,
) -> BacktestResult:
    """Trade forecasts: decide at each close, fill at the next bar's open, charge every fill.

    A position is held for the horizon that is traded, or until the other side is forecast. A side needs a
    probability of at least ``confidence_threshold`` (0.6 is a rise >= 0.6 or <= 0.4), and an expected return
    that does not contradict it.

    Parameters
    ----------
    predictions
        What `multi_horizon_predict` gives; ``direction`` [N, 3], or [N] for the traded horizon alone.
    prices
        The candles that are traded; see `frames.to_bars` for ``label``.
    transaction_cost
        Of every fill, fraction of its value. No slippage and no funding: `polyscale.backtest` has both.
    position_sizing
        ``fixed``: all of the equity; ``confidence``: ``|2p - 1|`` of it; ``kelly``: a quarter of the Kelly
        bet of the expected return, by the volatility of the last day; at most all of it.
    at
        [N] closes at which the forecasts were made, as `Windows.close_time`; absent: those of ``prices``, row
        by row.

    Raises
    ------
    DataError
        If predictions lack a key, are not finite, or do not match their closes.
    ConfigError
        If a setting breaks its rule.
    """
    bars, base = to_bars(prices, label)
    ahead = tuple(timeframes(horizons))
    if horizon not in _TERMS or len(ahead) != len(_TERMS):
        raise ConfigError(
            f"horizon must be one of {_TERMS}, of three horizons; got {horizon!r} of {horizons}"
        )
    close_ms = epoch_ms(at) if at is not None else bars["close_time"].dt.epoch("ms").to_numpy()
    forecast = _forecast(predictions, close_ms, ahead, _TERMS.index(horizon), _volatility(bars, base, ahead))
    try:
        strategy = StrategySettings(
            horizon=ahead[_TERMS.index(horizon)],
            confidence=confidence_threshold,
            edge_over_cost=0.0,
            sizing=position_sizing,
        )
        costs = BacktestSettings(
            fee_bps=transaction_cost / BPS,
            slippage_bps=0.0,
            assumed_funding_8h=0.0,
            initial_capital=initial_capital,
        )
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(found) for found in error.errors())) from error
    traded = bars_of_test(bars, forecast)
    positions = decide(forecast, strategy, costs.round_trip_cost, traded)
    return _result(run_backtest(traded, base, positions, costs, None))


def _forecast(
    predictions: Mapping[str, ArrayLike],
    close_ms: NDArray[np.int64],
    ahead: tuple[Timeframe, ...],
    traded: int,
    volatility: tuple[NDArray[np.int64], Floats],
) -> Forecast:
    """The contract of a forecast, of those predictions for which a volatility is known."""
    missing = [name for name in (*_TERMS, "direction") if name not in predictions]
    if missing:
        raise DataError(f"predictions must have {[*_TERMS, 'direction']}, missing {missing}")
    expected = np.column_stack([np.asarray(predictions[term], np.float64).ravel() for term in _TERMS])
    direction = np.asarray(predictions["direction"], np.float64)
    if direction.size == len(direction):  # one per window: it is that of the traded horizon
        one, direction = direction.reshape(-1, 1), np.full((len(direction), len(ahead)), 0.5)
        direction[:, [traded]] = one
    if len(expected) != len(close_ms) or direction.shape != expected.shape:
        raise DataError(
            f"predictions must be one per close, {len(close_ms)} of them, got {len(expected)} returns and "
            f"directions of shape {direction.shape}; say with `at` at which closes they were made"
        )
    if not ((direction >= 0) & (direction <= 1)).all():
        raise DataError("direction must be probabilities between 0 and 1; give sigmoids and no logits")
    bars_ms, sigma = volatility
    rows = np.searchsorted(bars_ms, close_ms).clip(max=len(bars_ms) - 1)
    known = np.isfinite(sigma[rows]).all(axis=1) & (bars_ms[rows] == close_ms)
    if not known.any():
        raise DataError(
            f"a prediction needs a close with a day of bars before it, found none in {len(bars_ms)} bars; "
            "give more prices, or the closes with `at`"
        )
    expected, direction, sigma = expected[known], direction[known], sigma[rows][known]
    count, one_scale = len(expected), np.ones((len(expected), 1))
    return Forecast(
        close_time=close_ms[known].astype("datetime64[ms]"),
        horizons=ahead,
        levels=(0.5,),
        scales=("all",),
        quantiles=expected[..., None].copy(),
        prob_up=direction,
        volatility=sigma,
        expected_return=expected,
        base_volatility=sigma.copy(),
        scale_weights=one_scale,
        cross_attention=one_scale.reshape(count, 1, 1).copy(),
    )


def _volatility(
    bars: pl.DataFrame, base: Timeframe, ahead: tuple[Timeframe, ...]
) -> tuple[NDArray[np.int64], Floats]:
    """Closes of the grid, and the volatility [T, 3] of the last day over each horizon."""
    grid = to_grid(bars, base)
    targets = make_targets(grid, base, ahead)
    sigma = targets.sigma[:, None] * np.sqrt(np.array(targets.bars_ahead, dtype=np.float64))
    return grid["close_time"].dt.epoch("ms").to_numpy(), sigma


def _result(found: account.BacktestResult) -> BacktestResult:
    import pandas as pd

    index = time_index(found.ledger["close_time"].dt.epoch("ms").to_numpy())
    return BacktestResult(
        total_return=found.total_return,
        sharpe_ratio=found.sharpe_ratio,
        sortino_ratio=found.sortino_ratio,
        max_drawdown=found.max_drawdown,
        win_rate=found.win_rate,
        profit_factor=found.profit_factor,
        n_trades=found.n_trades,
        equity_curve=pd.Series(found.equity, index=index, name="equity"),
        details=found,
    )


_WORDS = {
    "confidence": "confidence_threshold",
    "sizing": "position_sizing",
    "fee_bps": "transaction_cost",
}


def _sentence(found: object) -> str:
    place = str(found["loc"][0]) if found["loc"] else "settings"  # type: ignore[index]
    rule = found["msg"].replace("Input should", "must")  # type: ignore[index]
    return f"{_WORDS.get(place, place)}: {rule}, got {found['input']!r}"  # type: ignore[index]
