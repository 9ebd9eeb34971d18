"""What a forecast of direction earns before costs, and what it would have to earn to pay them.

In: returns and the side taken at each origin, in order of time. Out: a `TradeValue`. This is the forecast's
worth, one trade per origin, held for the horizon; what a strategy makes of it is in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from polyscale.evaluation.bootstrap import Bootstrap, Interval, mean_interval
from polyscale.market.errors import DataError

_BPS = 1e4


@dataclass(frozen=True)
class TradeValue:
    """Gross worth of a round trip, in basis points of log return."""

    num_trades: int
    gross_bps: Interval  # mean of side times return: the most that a round trip may cost
    gross_bps_adjusted: Interval  # at the level adjusted for many horizons
    mean_move_bps: float  # mean absolute return

    def break_even_hit_rate(self, cost_bps: float) -> float | None:
        """Share of hits that pays a round trip of ``cost_bps``, where hits and misses are of one size.

        ``1/2 + cost / (2 * mean move)``; None where even hits alone would not pay.
        """
        if cost_bps < 0.0:
            raise DataError(f"a round trip's cost must be >= 0 bps, got {cost_bps}")
        if cost_bps > self.mean_move_bps:
            return None
        return 0.5 + cost_bps / (2.0 * self.mean_move_bps) if cost_bps else 0.5

    def net_bps(self, cost_bps: float) -> float:
        """Mean of a round trip after its cost."""
        return self.gross_bps.mean - cost_bps

    def pays(self, cost_bps: float) -> bool:
        """Whether the adjusted interval of the gross worth lies wholly above the cost."""
        return self.gross_bps_adjusted.above(cost_bps)


def trade_value(
    returns: Float64[np.ndarray, " n"],
    side: Float64[np.ndarray, " n"],
    bootstrap: Bootstrap,
    adjusted_level: float,
) -> TradeValue | None:
    """Value the trades of one horizon; None where no side was ever taken.

    Parameters
    ----------
    returns
        Log returns over the horizon, finite, in order of time. One of exactly zero is a trade that earned
        nothing.
    side
        1 for long, -1 for short, 0 for no trade: such origins are left out.
    bootstrap
        For the interval; blocks must be longer than labels overlap.
    adjusted_level
        Of the interval that must hold at all horizons together.
    """
    traded = side != 0.0
    if not traded.any():
        return None
    earned = _BPS * side[traded] * returns[traded]
    return TradeValue(
        num_trades=int(traded.sum()),
        gross_bps=mean_interval(earned, bootstrap),
        gross_bps_adjusted=mean_interval(earned, bootstrap.at(adjusted_level)),
        mean_move_bps=float(_BPS * np.abs(returns[traded]).mean()),
    )
