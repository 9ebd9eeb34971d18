"""Which fills open a trade.

In: the fills of a backtest. Out: a mark per fill. It is the count of `polyscale.backtesting.trades` without
its frame, for those who count the trades of many runs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from polyscale.backtesting.book import SYMBOL, UNITS


def opens_trade(fills_fc: Float64[np.ndarray, "f c"]) -> Bool[np.ndarray, " f"]:
    """Whether a fill goes from flat to a side of its symbol, or from one side to the other."""
    by_symbol = np.argsort(fills_fc[:, SYMBOL], kind="stable")
    symbol, after = fills_fc[by_symbol, SYMBOL], fills_fc[by_symbol, UNITS]
    before = np.append(0.0, after[:-1])
    before[np.flatnonzero(np.diff(symbol)) + 1] = 0.0
    opens = np.empty(len(fills_fc), dtype=np.bool_)
    opens[by_symbol] = (after != 0.0) & (np.sign(after) != np.sign(before))
    return opens
