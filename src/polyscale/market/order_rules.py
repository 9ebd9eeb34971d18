"""The contract of order rules: in which steps and from which size on a venue takes orders of a symbol."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from polyscale.market.errors import DataError


@dataclass(frozen=True)
class OrderRules:
    """What a venue demands of an order's size; 0 demands nothing.

    An order that closes a position is taken whatever its size.
    """

    lot_step: float = 0.0  # coins; sizes are whole multiples of it
    min_quantity: float = 0.0  # coins
    min_notional: float = 0.0  # quote coin: coins times price

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0.0):
                raise DataError(f"order_rules.{field.name} must be a finite number >= 0, got {value}")


NO_RULES: Final = OrderRules()
