"""What trading costs and what the venue allows: nothing here is free by default."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from polyscale.backtesting.book import Venue
from polyscale.market.settings import Settings

BPS = 1e-4


class BacktestSettings(Settings):
    """The account and its venue.

    Fee and slippage have no default: whoever trades for nothing has to say so.
    """

    fee_bps: float = Field(ge=0, description="taker fee of a fill, basis points of its value")
    maker_fee_bps: float | None = Field(
        None, ge=0, description="fee of limits and take-profits, basis points; absent: the taker's"
    )
    slippage_bps: float = Field(
        ge=0, description="how far a taker's fill is worse than its price, basis points"
    )
    slippage_of_range: float = Field(
        0.0, ge=0, le=1, description="and worse by this share of the bar's high less low"
    )
    volume_share: float | None = Field(
        None, gt=0, le=1, description="of a bar's volume that may be filled, the rest waits; absent: any size"
    )
    assumed_funding_8h: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="paid by either side every 8 h where no funding is stored, fraction; 0 for spot; absent: "
        "funding must be given",
    )
    initial_capital: float = Field(10_000.0, gt=0, description="quote coin")
    maintenance_margin: float = Field(
        0.005, ge=0, lt=1, description="equity below this share of the positions' value is liquidated"
    )
    max_leverage: float = Field(
        1.0, gt=0, le=100, description="cap on the positions' value / equity after a fill"
    )

    @property
    def fee(self) -> float:
        """Fee of a taker's fill, fraction of its value."""
        return self.fee_bps * BPS

    @property
    def maker_fee(self) -> float:
        """Fee of a maker's fill, fraction of its value."""
        return self.fee if self.maker_fee_bps is None else self.maker_fee_bps * BPS

    @property
    def slippage(self) -> float:
        """Slippage of a taker's fill, fraction of its price, but for the share of the range."""
        return self.slippage_bps * BPS

    @property
    def round_trip_cost(self) -> float:
        """Fee and slippage of a taker's entry and exit together, fraction of the value traded once."""
        return 2.0 * (self.fee + self.slippage)

    @property
    def maintenance(self) -> float:
        """Share of the position's value that liquidates: the margin, but never less than closing costs."""
        return max(self.maintenance_margin, self.slippage + self.fee * (1.0 + self.slippage))

    def venue(self) -> Venue:
        """The same for the event loop."""
        return Venue(
            self.fee,
            self.maker_fee,
            self.slippage,
            self.slippage_of_range,
            math.inf if self.volume_share is None else self.volume_share,
            self.maintenance,
            self.max_leverage,
        )

    @model_validator(mode="after")
    def _full_leverage_survives_its_fill(self) -> BacktestSettings:
        """`max_leverage` times the larger of `maintenance_margin` and the cost of closing is less than 1."""
        if self.max_leverage * self.maintenance >= 1.0:
            raise ValueError(
                "max_leverage * max(maintenance_margin, cost of closing) must be < 1, else a fill at full "
                f"leverage is liquidated at once, got {self.max_leverage} * {self.maintenance:.6g}; lower one"
            )
        return self
