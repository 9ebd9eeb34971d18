"""When to trade a forecast, how much, and for how long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe


class StrategySettings(Settings):
    """The rules that turn a forecast into target positions of one symbol."""

    horizon: Timeframe | None = Field(
        None, description="whose forecast is traded; absent: the longest forecast"
    )
    confidence: float = Field(
        0.55, ge=0.5, le=1, description="least probability of the chosen side: 0.6 is up >= 0.6 or <= 0.4"
    )
    edge_over_cost: float = Field(1.0, ge=0, description="least expected move, in round trips' cost")
    agree: tuple[Timeframe, ...] = Field((), description="other horizons that must point to the same side")
    every: Timeframe | None = Field(
        None, description="signals are looked at on this grid of closes only; absent: at every forecast"
    )
    exit_below: float = Field(
        0.0,
        ge=0,
        le=1,
        description="close before the horizon has passed where the held side's probability is below it",
    )
    stop_loss: float | None = Field(
        None, gt=0, description="distance of the stop from the entry, in the horizon's forecast volatilities"
    )
    take_profit: float | None = Field(None, gt=0, description="distance of the take-profit, in the same")
    entry: Literal["market", "limit"] = Field(
        "market", description="limit: buy and sell no worse than at the close of the signal, as maker"
    )
    sizing: Literal["fixed", "confidence", "kelly", "volatility"] = Field(
        "confidence",
        description="fixed: `size`; confidence: 2 p - 1, with p the side's probability; kelly: a share of "
        "mean over variance; volatility: such that the forecast volatility is the target",
    )
    size: float = Field(1.0, gt=0, description="fixed: share of equity")
    max_leverage: float = Field(1.0, gt=0, le=100, description="cap on the target's size, share of equity")
    kelly_fraction: float = Field(0.25, gt=0, le=1, description="kelly: share of the full Kelly bet")
    target_volatility: float = Field(0.20, gt=0, description="volatility: sd of a year's return, fraction")
    rebalance: float = Field(
        0.05, ge=0, description="a smaller change of the target is let be, share of equity"
    )
    allow_short: bool = Field(True, description="if not, a signal to sell only closes a long position")

    @property
    def has_levels(self) -> bool:
        """Whether positions carry prices: a limit, a stop or a take-profit."""
        return self.entry == "limit" or self.stop_loss is not None or self.take_profit is not None
