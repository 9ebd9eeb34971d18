"""How a result depends on what is not known exactly: fees, slippage, a delay, and the cost that eats it up.

In: an exchange that is open, positions, settings. Out: a row per variation, each a run of its own; and the
cost at which nothing is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError
from scipy.optimize import brentq

from polyscale.backtesting.engine import Exchange
from polyscale.backtesting.measures import Absent, total_return
from polyscale.backtesting.settings import BPS, BacktestSettings
from polyscale.evaluation.trading.delay import delayed
from polyscale.market.position import Positions

_FACTORS: Final = (0.0, 0.5, 2.0)
_DELAYS: Final = (1, 2)
_FIRST_BPS: Final = 1.0  # where the search for a cost that is too high begins; it doubles from there
_MOST: Final = 1.0 - 1e-9  # of the highest fee at which a position outlives its own entry


@dataclass(frozen=True)
class Variation:
    """What the result would have been; None, with a reason, where there is none."""

    fee_factor: float  # times the fees of the settings, taker's and maker's
    slippage_factor: float  # times the slippage, its share of the range too
    delay_bars: int  # closes by which every decision comes later
    total_return: float | None = None
    sharpe_ratio: float | None = None
    max_drawdown: float | None = None
    reason: str = ""


def vary(
    exchange: Exchange, positions: Mapping[str, Positions], settings: BacktestSettings
) -> tuple[Variation, ...]:
    """Run the strategy as it is set, then with one thing changed at a time.

    Rows, in this order: as set; fees times 0, 1/2 and 2; slippage times 0, 1/2 and 2; both times 0;
    decisions one and two bars later. A strategy whose result depends on a bar's delay or on half a fee has no
    more than that. Positions stay what they are: a strategy that asks for an edge over its cost would decide
    otherwise at another cost.

    Raises
    ------
    DataError
        If positions break their contract.
    """
    rows = [
        Variation(1.0, 1.0, 0),
        *[Variation(factor, 1.0, 0) for factor in _FACTORS],
        *[Variation(1.0, factor, 0) for factor in _FACTORS],
        Variation(0.0, 0.0, 0),
        *[Variation(1.0, 1.0, bars) for bars in _DELAYS],
    ]
    return tuple(_run(row, exchange, positions, settings) for row in rows)


def break_even_cost(
    exchange: Exchange, positions: Mapping[str, Positions], settings: BacktestSettings
) -> float | Absent:
    """Cost of a fill, in basis points of the value traded, at which the total return is 0.

    It is paid by every fill, a maker's too; slippage is 0 and funding is as set. Beside the fee and slippage
    that one expects to pay it says how far off they may be. Found by search on whole runs, to 1e-9 bps or
    better: the lowest cost between two, one twice the other, of which only the higher loses. Where the return
    jumps over 0 (a size is rounded to lots, or a liquidation), it is the cost of the jump.

    Returns
    -------
    float or Absent
        Absent where nothing is traded, where it loses even at no cost, or where it does not lose at the
        highest cost there is: 100 %, or what a position at full leverage outlives.
    """

    def result(bps: float) -> float:
        return total_return(exchange.run(positions, _at_cost(settings, bps)).equity)

    if len(exchange.run(positions, _at_cost(settings, 0.0)).events.fills) == 0:
        return Absent("nothing was traded")
    if result(0.0) < 0.0:
        return Absent("it loses even at no cost")
    most = _MOST * min(1.0, 1.0 / settings.max_leverage) / BPS
    low, high = 0.0, min(_FIRST_BPS, most)
    while result(high) >= 0.0:
        if high == most:
            return Absent(f"it does not lose at a cost of {100 * most * BPS:.3g} % of the value traded")
        low, high = high, min(2.0 * high, most)
    return float(brentq(result, low, high, xtol=1e-9))


def _run(
    row: Variation, exchange: Exchange, positions: Mapping[str, Positions], settings: BacktestSettings
) -> Variation:
    try:
        changed = _scaled(settings, row.fee_factor, row.slippage_factor)
    except ValidationError as error:
        return replace(row, reason=error.errors()[0]["msg"])
    found = exchange.run(delayed(positions, exchange.grid, row.delay_bars), changed)
    return replace(
        row,
        total_return=found.total_return,
        sharpe_ratio=found.sharpe_ratio,
        max_drawdown=found.max_drawdown,
        reason=found.reasons.get("sharpe_ratio", ""),
    )


def _scaled(settings: BacktestSettings, fee_factor: float, slippage_factor: float) -> BacktestSettings:
    maker = settings.maker_fee_bps
    return _changed(
        settings,
        fee_bps=fee_factor * settings.fee_bps,
        maker_fee_bps=None if maker is None else fee_factor * maker,
        slippage_bps=slippage_factor * settings.slippage_bps,
        slippage_of_range=slippage_factor * settings.slippage_of_range,
    )


def _at_cost(settings: BacktestSettings, bps: float) -> BacktestSettings:
    return _changed(settings, fee_bps=bps, maker_fee_bps=bps, slippage_bps=0.0, slippage_of_range=0.0)


def _changed(settings: BacktestSettings, **changes: Any) -> BacktestSettings:
    """Settings with some fields changed, checked anew."""
    return BacktestSettings(**{**settings.model_dump(), **changes})
