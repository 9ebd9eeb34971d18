"""The chapter's backtest: its forecasts traded by the real strategy on the real account."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from polyscale.backtesting import result as account
from polyscale.backtesting.engine import run_backtest
from polyscale.backtesting.settings import BPS, BacktestSettings
from polyscale.chapter.frames import Label, closes_ms, floats, pandas, three_horizons, time_index, to_bars
from polyscale.chapter.windows import HORIZONS
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.forecast import Forecast
from polyscale.market.settings import as_config_error
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from polyscale.strategy.decide import decide
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.span import bars_of_test
from polyscale.targets.targets import make_targets

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
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
    position_sizing: Literal["fixed", "confidence", "kelly", "volatility"] = "confidence",
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
        bet of the expected return, by the volatility of the last day; ``volatility``: so much that by the
        last day's volatility a year's would be a fifth; at most all of it.
    at
        [N] closes of ``prices`` at which the forecasts were made, as `Windows.close_time`; absent: all of
        them, row by row. Forecasts without nine tenths of a day of bars before them are left out, and a
        warning says how many: what they are measured by is not known there.
    horizon, horizons
        Which of the three is traded, and how long they are: those of the model.

    Raises
    ------
    DataError
        If predictions lack a key, are not finite, or do not match their closes; or ``at`` is no index named
        ``close_time`` that rises.
    ConfigError
        If a setting breaks its rule.
    """
    bars, base = to_bars(prices, label)
    ahead = three_horizons(horizons)
    if horizon not in _TERMS:
        raise ConfigError(f"horizon must be one of {_TERMS}, got {horizon!r}")
    if not isinstance(transaction_cost, Real) or not 0 <= transaction_cost < 1:
        raise ConfigError(
            "transaction_cost: must be greater than or equal to 0 and less than 1, a fraction of what is "
            f"filled, got {transaction_cost!r}"
        )
    close_ms = _closes(bars, at, label)
    forecast = _forecast(predictions, close_ms, ahead, _TERMS.index(horizon), _volatility(bars, base, ahead))
    with as_config_error({"confidence": "confidence_threshold", "sizing": "position_sizing"}):
        strategy = StrategySettings(
            horizon=ahead[_TERMS.index(horizon)],
            confidence=confidence_threshold,
            edge_over_cost=0.0,
            sizing=position_sizing,
        )
        costs = BacktestSettings(
            fee_bps=float(transaction_cost) / BPS,
            slippage_bps=0.0,
            assumed_funding_8h=0.0,
            initial_capital=initial_capital,
        )
    traded = bars_of_test(bars, forecast)
    positions = decide(forecast, strategy, costs.round_trip_cost, traded)
    return _result(run_backtest(traded, base, positions, costs, None))


def _closes(bars: pl.DataFrame, at: pd.DatetimeIndex | None, label: Label | None) -> Ints:
    """When the forecasts were made: all of it closes of bars."""
    of_bars = bars["close_time"].dt.epoch("ms").to_numpy()
    if at is None:
        return of_bars
    close_ms = closes_ms(at, "`at`", label)
    other = ~np.isin(close_ms, of_bars)
    if other.any():
        raise DataError(
            f"`at` must be closes of prices, {other.sum()} of {len(other)} are not, first "
            f"{at[int(other.argmax())]}; give the candles that the forecasts were made from"
        )
    return close_ms


def _forecast(
    predictions: Mapping[str, ArrayLike],
    close_ms: Ints,
    ahead: tuple[Timeframe, ...],
    traded: int,
    volatility: tuple[Ints, Floats],
) -> Forecast:
    """The contract of a forecast, of those predictions for which a volatility is known."""
    expected, direction = _read(predictions, len(close_ms), traded)
    bars_ms, sigma = volatility
    rows = np.searchsorted(bars_ms, close_ms)
    known = np.isfinite(sigma[rows]).all(axis=1)
    if not known.any():
        raise DataError(
            f"a prediction needs a close with a day of bars before it, found none in {len(bars_ms)} bars; "
            "give more prices, or the closes with `at`"
        )
    if not known.all():
        logger.warning(
            "%d of %d forecasts have no day of bars before them: left out", np.sum(~known), len(close_ms)
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


def _read(predictions: Mapping[str, ArrayLike], count: int, traded: int) -> tuple[Floats, Floats]:
    """Expected returns and probabilities [N, 3]; one probability per close is that of the traded horizon."""
    names = [*_TERMS, "direction"]
    if not hasattr(predictions, "keys"):
        raise DataError(f"predictions must be a dict with {names}, got {type(predictions).__name__}")
    missing = [name for name in names if name not in predictions]
    if missing:
        raise DataError(f"predictions must have {names}, missing {missing}")
    given = {name: floats(predictions[name], name) for name in names}
    found = {name: values.shape for name, values in given.items()}
    flat = {name: values.reshape(-1) for name, values in given.items()}
    direction = given["direction"]
    if found["direction"] in {(count,), (count, 1)}:
        direction = np.full((count, len(_TERMS)), 0.5)
        direction[:, traded] = flat["direction"]
    if any(len(flat[term]) != count for term in _TERMS) or direction.shape != (count, len(_TERMS)):
        raise DataError(
            f"predictions must be one per close, {count} of them, got {len(flat[_TERMS[0]])} returns "
            f"(shapes: {found}); say with `at` at which closes they were made"
        )
    expected = np.column_stack([flat[term] for term in _TERMS])
    if not np.isfinite(expected).all():
        lost = (~np.isfinite(expected)).sum(axis=0)
        raise DataError(
            f"predictions must be finite, got {dict(zip(_TERMS, lost.tolist(), strict=True))} others"
        )
    if not ((direction >= 0) & (direction <= 1)).all():
        raise DataError("direction must be probabilities between 0 and 1; give sigmoids and no logits")
    return expected, direction


def _volatility(bars: pl.DataFrame, base: Timeframe, ahead: tuple[Timeframe, ...]) -> tuple[Ints, Floats]:
    """Closes of the grid, and the volatility [T, 3] of the last day over each horizon."""
    grid = to_grid(bars, base)
    targets = make_targets(grid, base, ahead)
    sigma = targets.sigma[:, None] * np.sqrt(np.array(targets.bars_ahead, dtype=np.float64))
    return grid["close_time"].dt.epoch("ms").to_numpy(), sigma


def _result(found: account.BacktestResult) -> BacktestResult:
    pd = pandas()
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
