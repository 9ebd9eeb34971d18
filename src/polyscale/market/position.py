"""The contract of positions: what share of the equity to hold, decided at each origin.

Made by `polyscale.strategy`, executed by `polyscale.backtesting` at the next bar's open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from polyscale.market.errors import DataError

Floats = NDArray[np.float64]
LEVELS: Final = ("limit", "stop", "take_profit")


@dataclass(frozen=True, eq=False)
class Positions:
    """Target exposure of one symbol, decided at the close of each base bar.

    ``target`` is the signed share of equity (1 = fully long, -0.5 = half short), finite. A target that
    differs from the one before is an order; between orders the number of coins is kept. Levels are prices,
    NaN for none, absent for none at all; they stand until the next decision, and protect what is held on the
    side of the target: a position that is being turned has none.
    """

    close_time: NDArray[np.datetime64]  # [N] UTC, ms, rising
    target: Floats  # [N]
    limit: Floats | None = (
        None  # [N] a buyer pays no more, a seller takes no less; else the order is a market one
    )
    stop: Floats | None = None  # [N] closes the position at a loss
    take_profit: Floats | None = None  # [N] closes the position at a gain

    def __post_init__(self) -> None:
        if self.target.shape != self.close_time.shape:
            raise DataError(
                f"positions.target must have one value per close_time {self.close_time.shape}, "
                f"got {self.target.shape}"
            )
        if not np.isfinite(self.target).all():
            raise DataError("positions.target must be finite; write 0 for no position")
        self.target.setflags(write=False)
        for name in LEVELS:
            self._check_level(name, getattr(self, name))

    def level(self, name: str) -> Floats:
        """One of `LEVELS` as an array [N], NaN for none."""
        given: Floats | None = getattr(self, name)
        return np.full(self.target.shape, np.nan) if given is None else given

    def _check_level(self, name: str, level: Floats | None) -> None:
        if level is None:
            return
        if level.shape != self.close_time.shape:
            raise DataError(
                f"positions.{name} must have one value per close_time {self.close_time.shape}, "
                f"got {level.shape}"
            )
        wrong = ~(np.isnan(level) | (np.isfinite(level) & (level > 0)))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"positions.{name} must be a price > 0, or NaN for none, got {level[row]} "
                f"at {self.close_time[row]}"
            )
        level.setflags(write=False)
