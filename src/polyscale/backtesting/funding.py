"""What funding each bar's open brings, as a rate per unit of position value.

In: stored rates, or none, and the grid of bars. Out: rates by bar. A stamp T is charged on the position
held when T strikes, before the fill at T's open, at the price of the first open at or after T. Orders change
coins at opens, so this holds for stamps inside a bar too (08:00 on daily bars); who was closed inside that
bar, by a stop or liquidation, pays nothing. A stamp inside the last bar has no open after it and is not
charged. Where a symbol has no bar its price stands still, and what is held pays on, after its last bar too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.market.bars import check_funding
from polyscale.market.errors import DataError

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
INTERVAL_MS: Final = 8 * 3_600_000  # venues settle every 8 h or oftener; at 00, 08, 16 UTC


class FundingRates(NamedTuple):
    """Rates summed over the stamps that an open settles, at the bars where any is due."""

    bar: Times  # [F], each, rising
    signed: Floats  # what a long pays and a short receives
    both: Floats  # what either side pays
    source: str  # 'stored' or 'assumed'


def funding_rates(
    funding: pl.DataFrame | None, open_ms: Times, num_own: int, assumed_8h: float | None
) -> FundingRates:
    """Sum rates by bar: the stored ones by side, or where there are none the assumed one against us.

    Parameters
    ----------
    open_ms
        Of all bars of the account from the symbol's first on.
    num_own
        How many of them there are up to the symbol's last bar; funding must be known as far as that.

    Raises
    ------
    DataError
        If there are neither stored rates nor an assumed one; if stored funding breaks its contract, leaves
        more than 8 h of the bars without a stamp, or holds a rate of 100 % or more.
    """
    if funding is None:
        if assumed_8h is None:
            raise DataError(
                "funding is missing: a perpetual pays it every 8 h or oftener; give the stored rates, or set "
                "backtest.assumed_funding_8h to what either side shall pay (0 on a spot market)"
            )
        first = -(-open_ms[0] // INTERVAL_MS) * INTERVAL_MS
        stamps = np.arange(first, open_ms[-1] + 1, INTERVAL_MS) if assumed_8h else np.empty(0, np.int64)
        bars, rates = _settle(stamps, np.full(len(stamps), assumed_8h), open_ms)
        return FundingRates(bars, np.zeros(len(bars)), rates, "assumed")
    funding = check_funding(funding)
    stamps, rates = funding["time"].dt.epoch("ms").to_numpy(), funding["funding_rate"].to_numpy()
    _check_fractions(rates)
    _check_cover(stamps, open_ms[:num_own])
    bars, rates = _settle(stamps, rates, open_ms)
    return FundingRates(bars, rates, np.zeros(len(bars)), "stored")


def _settle(stamps: Times, rates: Floats, open_ms: Times) -> tuple[Times, Floats]:
    """Give each stamp to the first open at or after it; before the first open nothing is held."""
    bars = np.searchsorted(open_ms, stamps, side="left")
    held = (stamps > open_ms[0]) & (bars < len(open_ms))
    due, which = np.unique(bars[held], return_inverse=True)
    summed = np.zeros(len(due))
    np.add.at(summed, which, rates[held])
    return due.astype(np.int64), summed


def _check_fractions(rates: Floats) -> None:
    if (np.abs(rates) >= 1).any():
        worst = rates[np.argmax(np.abs(rates))]
        raise DataError(
            f"funding_rate must be a fraction between -1 and 1, got {worst}; divide percent by 100"
        )


def _check_cover(stamps: Times, open_ms: Times) -> None:
    """A position can be held from the second open to the last: no 8 h of it may lack a stamp."""
    if len(open_ms) < 2:
        return
    inside = stamps[(stamps >= open_ms[1]) & (stamps <= open_ms[-1])]
    edges = np.concatenate([open_ms[1:2], inside, open_ms[-1:]])
    gap = int(np.argmax(np.diff(edges)))
    if edges[gap + 1] - edges[gap] > INTERVAL_MS:
        start, end = edges[gap : gap + 2].astype("datetime64[ms]")
        raise DataError(
            f"funding must have a stamp at least every 8 h of the bars, none between {start} and {end} UTC; "
            "fetch it, or pass None to have it assumed"
        )
