"""What trading costs and what the venue allows: nothing here is free by default."""

from __future__ import annotations

from pydantic import Field, model_validator

from polyscale.market.settings import Settings

BPS = 1e-4


class BacktestSettings(Settings):
    """The account and its venue.

    Fee, slippage and assumed funding have no default: whoever trades for nothing has to say so.
    """

    fee_bps: float = Field(ge=0, description="taker fee of every fill, basis points of its value")
    slippage_bps: float = Field(ge=0, description="how far a fill is worse than the open, basis points")
    assumed_funding_8h: float = Field(
        ge=0,
        lt=1,
        description="paid by either side every 8 h where no funding is stored, fraction; 0 for spot",
    )
    initial_capital: float = Field(10_000.0, gt=0, description="quote coin")
    maintenance_margin: float = Field(
        0.005, ge=0, lt=1, description="equity below this share of the position's value is liquidated"
    )
    max_leverage: float = Field(1.0, gt=0, le=100, description="cap on position value / equity after a fill")

    @property
    def fee(self) -> float:
        """Fee of a fill, fraction of its value."""
        return self.fee_bps * BPS

    @property
    def slippage(self) -> float:
        """Slippage of a fill, fraction of the open."""
        return self.slippage_bps * BPS

    @property
    def round_trip_cost(self) -> float:
        """Fee and slippage of entry and exit together, fraction of the value traded once."""
        return 2.0 * (self.fee + self.slippage)

    @property
    def maintenance(self) -> float:
        """Share of the position's value that liquidates: the margin, but never less than closing costs."""
        return max(self.maintenance_margin, self.slippage + self.fee * (1.0 + self.slippage))

    @model_validator(mode="after")
    def _full_leverage_survives_its_fill(self) -> BacktestSettings:
        if self.max_leverage * self.maintenance >= 1.0:
            raise ValueError(
                "max_leverage * max(maintenance_margin, cost of closing) must be < 1, else a fill at full "
                f"leverage is liquidated at once, got {self.max_leverage} * {self.maintenance:.6g}; lower one"
            )
        return self
