"""One position out of several decided for the same symbol, such as one per horizon.

In: positions and the share of the account that each was given. Out: their sum at every close at which any of
them was decided. On one account opposite sides of two horizons cancel, and are not paid for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyscale.market.errors import ConfigError
from polyscale.market.position import LEVELS, Positions

Floats = NDArray[np.float64]


def combine(parts: Sequence[Positions], shares: Sequence[float] | None = None) -> Positions:
    """Sum of ``share * target``, each kept from its decision to the next; equal shares if none are given.

    Raises
    ------
    ConfigError
        If there are no parts, not one share per part, or a part carries prices: a stop belongs to a position,
        and there is one position.
    """
    if not parts or (shares is not None and len(shares) != len(parts)):
        raise ConfigError(f"a combination needs a share per part, got {len(parts)} parts, shares {shares}")
    if any(getattr(part, name) is not None for part in parts for name in LEVELS):
        raise ConfigError(
            "positions with a limit, stop or take-profit cannot be combined: one symbol has one position; "
            "leave the levels out"
        )
    given = [1.0 / len(parts)] * len(parts) if shares is None else list(shares)
    times = np.unique(np.concatenate([part.close_time for part in parts]))
    total = np.zeros(len(times))
    for part, share in zip(parts, given, strict=True):
        total += share * at_closes(part, times)
    return Positions(times, total)


def at_closes(positions: Positions, times: NDArray[np.datetime64]) -> Floats:
    """The target in force at each time [N], rising; 0 before the first decision."""
    newest = np.searchsorted(positions.close_time, times, side="right") - 1
    return np.where(newest < 0, 0.0, positions.target[np.maximum(newest, 0)])
