"""The contract of positions: what share of the equity to hold, decided at each origin.

Made by `polyscale.strategy`, executed by `polyscale.backtesting` at the next bar's open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyscale.market.errors import DataError


@dataclass(frozen=True, eq=False)
class Positions:
    """Target exposure of one symbol, decided at the close of each base bar.

    ``target`` is the signed share of equity (1 = fully long, -0.5 = half short), finite; between decisions
    the number of coins is kept.
    """

    close_time: NDArray[np.datetime64]  # [N] UTC, ms, rising
    target: NDArray[np.float64]  # [N]

    def __post_init__(self) -> None:
        if self.target.shape != self.close_time.shape:
            raise DataError(
                f"positions.target must have one value per close_time {self.close_time.shape}, "
                f"got {self.target.shape}"
            )
        if not np.isfinite(self.target).all():
            raise DataError("positions.target must be finite; write 0 for no position")
        self.target.setflags(write=False)
