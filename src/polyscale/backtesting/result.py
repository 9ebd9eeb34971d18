"""What a backtest came to: measures, equity, ledger, trades, costs.

In: the account after each bar and the fills. Out: `BacktestResult`, frozen; reports read nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.backtesting import measures
from polyscale.backtesting.loop import CASH, EQUITY, FEE, FUNDING, SLIPPAGE, TRADED, UNITS
from polyscale.backtesting.measures import Absent, Measure
from polyscale.backtesting.trades import make_trades
from polyscale.market.bars import TIME
from polyscale.market.timeframe import Timeframe

Floats = NDArray[np.float64]
LEDGER_SCHEMA: Final = pl.Schema(
    {
        "close_time": TIME,
        "price": pl.Float64(),  # the bar's close, at which the coins are valued
        "units": pl.Float64(),  # coins held at the close, negative when short
        "cash": pl.Float64(),
        "equity": pl.Float64(),  # cash + units * price
        "fee": pl.Float64(),  # paid in this bar
        "slippage": pl.Float64(),  # lost in this bar against the price before slippage
        "funding": pl.Float64(),  # paid in this bar; negative when received
    }
)


@dataclass(frozen=True)
class Costs:
    """What trading cost, by kind, in money; negative funding was received."""

    fees: float
    slippage: float
    funding: float
    initial_capital: float

    @property
    def total(self) -> float:
        """Fees, slippage and funding together."""
        return self.fees + self.slippage + self.funding

    @property
    def fees_share(self) -> float:
        """Fees, share of the initial capital."""
        return self.fees / self.initial_capital

    @property
    def slippage_share(self) -> float:
        """Slippage, share of the initial capital."""
        return self.slippage / self.initial_capital

    @property
    def funding_share(self) -> float:
        """Funding, share of the initial capital."""
        return self.funding / self.initial_capital

    @property
    def total_share(self) -> float:
        """All costs, share of the initial capital."""
        return self.total / self.initial_capital


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """One run over the bars given, from the first to the last of them.

    A measure that does not exist is None, and `reasons` says why. Ratios are annualised on 365 days.
    """

    total_return: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    max_drawdown: float | None  # positive share of the peak
    win_rate: float | None  # of closed trades, after costs
    profit_factor: float | None  # of closed trades, after costs
    calmar_ratio: float | None
    exposure: float | None  # mean |position value| / equity
    turnover: float | None  # value traded in the whole run, in mean equities
    n_trades: int  # rows of `trades`, one that is still open included
    reasons: dict[str, str]  # measure -> why it is None
    equity_curve: pl.DataFrame  # close_time, equity
    ledger: pl.DataFrame  # LEDGER_SCHEMA, one row per bar
    trades: pl.DataFrame  # polyscale.backtesting.trades.TRADE_SCHEMA
    costs: Costs
    funding_source: str  # 'stored' or 'assumed'
    liquidated: bool  # judged by last prices: bars carry no mark price

    def measures(self) -> dict[str, float | int | None]:
        """Every number of the run by its name, in the order of the fields."""
        return {
            "total_return": self.total_return,
            "sharpe_ratio": self.sharpe_ratio,
            "sortino_ratio": self.sortino_ratio,
            "max_drawdown": self.max_drawdown,
            "win_rate": self.win_rate,
            "profit_factor": self.profit_factor,
            "calmar_ratio": self.calmar_ratio,
            "exposure": self.exposure,
            "turnover": self.turnover,
            "n_trades": self.n_trades,
        }


class Replayed(NamedTuple):
    """What came out of the event loop, see `polyscale.backtesting.loop.replay`."""

    account: Floats
    fills: Floats
    liquidated: bool


def make_result(
    bars: pl.DataFrame, timeframe: Timeframe, replayed: Replayed, initial_capital: float, funding_source: str
) -> BacktestResult:
    """Put ledger, trades, costs and measures together."""
    account, fills, liquidated = replayed
    ledger = _ledger(bars, account)
    close_ms = bars["close_time"].dt.epoch("ms").to_numpy()
    trades = make_trades(fills, account[:, FUNDING], close_ms - timeframe.ms, close_ms, bars["close"][-1])
    found = _measure(ledger, trades, account[:, TRADED], timeframe)
    values = {name: None if isinstance(m, Absent) else m for name, m in found.items()}
    return BacktestResult(
        **values,
        n_trades=trades.height,
        reasons={name: m.reason for name, m in found.items() if isinstance(m, Absent)},
        equity_curve=ledger.select("close_time", "equity"),
        ledger=ledger,
        trades=trades,
        costs=Costs(
            fees=float(account[:, FEE].sum()),
            slippage=float(account[:, SLIPPAGE].sum()),
            funding=float(account[:, FUNDING].sum()),
            initial_capital=initial_capital,
        ),
        funding_source=funding_source,
        liquidated=bool(liquidated),
    )


def _ledger(bars: pl.DataFrame, account: Floats) -> pl.DataFrame:
    columns = {
        "units": UNITS,
        "cash": CASH,
        "equity": EQUITY,
        "fee": FEE,
        "slippage": SLIPPAGE,
        "funding": FUNDING,
    }
    numbers = {name: account[:, at] for name, at in columns.items()}
    return pl.DataFrame(
        {"close_time": bars["close_time"], "price": bars["close"], **numbers}, schema=LEDGER_SCHEMA
    )


def _measure(
    ledger: pl.DataFrame, trades: pl.DataFrame, traded: Floats, timeframe: Timeframe
) -> dict[str, Measure]:
    equity = ledger["equity"].to_numpy()
    closed = trades.filter(pl.col("exit_time").is_not_null())["net_pnl"].to_numpy()
    return {
        "total_return": measures.total_return(equity),
        "sharpe_ratio": measures.sharpe_ratio(equity, timeframe),
        "sortino_ratio": measures.sortino_ratio(equity, timeframe),
        "max_drawdown": measures.max_drawdown(equity),
        "win_rate": measures.win_rate(closed),
        "profit_factor": measures.profit_factor(closed),
        "calmar_ratio": measures.calmar_ratio(equity, timeframe),
        "exposure": measures.exposure((ledger["units"] * ledger["price"]).to_numpy(), equity),
        "turnover": measures.turnover(traded, equity),
    }
