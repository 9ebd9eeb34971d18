"""What a backtest came to: measures, equity, ledger, trades, costs.

In: the events of the account and the grid of closes. Out: `BacktestResult`. Everything in it is computed from
these, when it is first asked for; reports read nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.backtesting import measures
from polyscale.backtesting.account import (
    Account,
    Flows,
    account_at_closes,
    equity_at_closes,
    flows_by_bar,
    units_at_closes,
)
from polyscale.backtesting.book import AT_OPEN, BAR, FEE, KIND, PAID, PRICE, SLIPPAGE, SYMBOL, UNITS, Events
from polyscale.backtesting.measures import Absent, Measure
from polyscale.backtesting.prices import Grid
from polyscale.backtesting.trades import kinds_of, make_trades
from polyscale.market.bars import TIME

Floats = NDArray[np.float64]
LEDGER_SCHEMA: Final = pl.Schema(
    {
        "close_time": TIME,
        "cash": pl.Float64(),
        "position_value": pl.Float64(),  # coins at the closes, shorts negative
        "equity": pl.Float64(),  # cash + position_value
        "gross": pl.Float64(),  # position values with all signs positive
        "traded": pl.Float64(),  # value bought and sold in this bar, before slippage
        "fee": pl.Float64(),  # paid in this bar
        "slippage": pl.Float64(),  # lost in this bar against prices before slippage
        "funding": pl.Float64(),  # paid in this bar; negative when received
    }
)
HOLDINGS_SCHEMA: Final = pl.Schema(
    {
        "close_time": TIME,
        "symbol": pl.String(),
        "price": pl.Float64(),  # the close at which the coins are valued
        "units": pl.Float64(),  # coins held at the close, negative when short
    }
)
FILLS_SCHEMA: Final = pl.Schema(
    {
        "time": TIME,  # the bar's open, or its close for what filled inside it
        "symbol": pl.String(),
        "kind": pl.String(),  # order, limit, stop, take_profit, liquidation
        "units": pl.Float64(),  # coins held after it
        "price": pl.Float64(),  # before slippage
        "fee": pl.Float64(),
        "slippage": pl.Float64(),
    }
)
_MEASURES: Final = (
    *("total_return", "sharpe_ratio", "sortino_ratio", "max_drawdown", "win_rate", "profit_factor"),
    *("calmar_ratio", "exposure", "turnover"),
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
    """One account over the bars given, from the first to the last of them.

    A measure that does not exist is None, and `reasons` says why. Ratios are annualised on 365 days.
    """

    grid: Grid
    events: Events
    initial_capital: float
    funding_sources: Mapping[str, str]  # 'stored' or 'assumed', by symbol

    @property
    def total_return(self) -> float | None:
        """Change of equity, fraction."""
        return self._value("total_return")

    @property
    def sharpe_ratio(self) -> float | None:
        """Mean over deviation of bars' returns after costs, a year."""
        return self._value("sharpe_ratio")

    @property
    def sortino_ratio(self) -> float | None:
        """Mean over downside deviation of bars' returns after costs, a year."""
        return self._value("sortino_ratio")

    @property
    def max_drawdown(self) -> float | None:
        """Deepest fall below the highest equity before, positive fraction."""
        return self._value("max_drawdown")

    @property
    def win_rate(self) -> float | None:
        """Share of closed trades that made money after costs."""
        return self._value("win_rate")

    @property
    def profit_factor(self) -> float | None:
        """Money won over money lost in closed trades, after costs."""
        return self._value("profit_factor")

    @property
    def calmar_ratio(self) -> float | None:
        """Growth a year over the deepest fall."""
        return self._value("calmar_ratio")

    @property
    def exposure(self) -> float | None:
        """Mean of gross value over equity."""
        return self._value("exposure")

    @property
    def turnover(self) -> float | None:
        """Value traded in the whole run, in mean equities."""
        return self._value("turnover")

    @property
    def n_trades(self) -> int:
        """Rows of `trades`, those that are still open included."""
        return self.trades.height

    @property
    def reasons(self) -> dict[str, str]:
        """Why a measure is None, by its name."""
        return {name: found.reason for name, found in self._found.items() if isinstance(found, Absent)}

    @property
    def liquidated(self) -> bool:
        """Whether the venue closed the account; judged by last prices: bars carry no mark price."""
        return self.events.liquidated

    @property
    def funding_source(self) -> str:
        """'stored' or 'assumed', or 'stored and assumed' where symbols differ."""
        return " and ".join(sorted(set(self.funding_sources.values()), reverse=True))

    def measures(self) -> dict[str, float | int | None]:
        """Every number of the run by its name."""
        return {**{name: self._value(name) for name in _MEASURES}, "n_trades": self.n_trades}

    @cached_property
    def equity(self) -> Floats:
        """[T] at each close, quote coin."""
        return equity_at_closes(
            self.events.fills, self.events.payments, self.grid.prices.close, self.initial_capital
        )

    @cached_property
    def account(self) -> Account:
        """Cash and values at each close."""
        return account_at_closes(
            self.events.fills, self.events.payments, self.grid.prices.close, self.initial_capital
        )

    @cached_property
    def equity_curve(self) -> pl.DataFrame:
        """``close_time`` and ``equity``, one row per bar."""
        return self.ledger.select("close_time", "equity")

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """The account at each close, in `LEDGER_SCHEMA`: cash + position_value = equity."""
        numbers = {
            **self.account._asdict(),
            "equity": self.equity,
            **self._flows._asdict(),
            "close_time": self.grid.close_time,
        }
        return pl.DataFrame({name: numbers[name] for name in LEDGER_SCHEMA}, schema=LEDGER_SCHEMA)

    @cached_property
    def holdings(self) -> pl.DataFrame:
        """Coins of each symbol at each close, in `HOLDINGS_SCHEMA`, symbol by symbol."""
        close = self.grid.prices.close
        units = units_at_closes(self.events.fills, *close.shape)
        frames = [
            pl.DataFrame(
                {"close_time": self.grid.close_time, "symbol": symbol, "price": close[n], "units": units[n]},
                schema=HOLDINGS_SCHEMA,
            )
            for n, symbol in enumerate(self.grid.symbols)
        ]
        return pl.concat(frames)

    @cached_property
    def fills(self) -> pl.DataFrame:
        """Every change of a position, in `FILLS_SCHEMA`, in time."""
        fills, symbols = self.events.fills, np.array(self.grid.symbols, dtype=object)
        time_ms = self.grid.close_ms[fills[:, BAR].astype(np.int64)]
        time_ms = time_ms - np.where(fills[:, AT_OPEN] > 0, self.grid.timeframe.ms, 0)
        return pl.DataFrame(
            {
                "time": pl.Series(time_ms).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"),
                "symbol": symbols[fills[:, SYMBOL].astype(np.int64)],
                "kind": kinds_of(fills[:, KIND]),
                "units": fills[:, UNITS],
                "price": fills[:, PRICE],
                "fee": fills[:, FEE],
                "slippage": fills[:, SLIPPAGE],
            },
            schema=FILLS_SCHEMA,
        )

    @cached_property
    def trades(self) -> pl.DataFrame:
        """One row per trade, in `polyscale.backtesting.trades.TRADE_SCHEMA`."""
        return make_trades(self.events.fills, self.events.payments, self.grid)

    @cached_property
    def costs(self) -> Costs:
        """What trading cost, by kind."""
        fills, payments = self.events.fills, self.events.payments
        return Costs(
            float(fills[:, FEE].sum()),
            float(fills[:, SLIPPAGE].sum()),
            float(payments[:, PAID].sum()),
            self.initial_capital,
        )

    @cached_property
    def _flows(self) -> Flows:
        return flows_by_bar(self.events.fills, self.events.payments, len(self.grid.close_ms))

    @cached_property
    def _found(self) -> dict[str, Measure]:
        equity, timeframe = self.equity, self.grid.timeframe
        closed = self.trades.filter(pl.col("exit_time").is_not_null())["net_pnl"].to_numpy()
        return {
            "total_return": measures.total_return(equity),
            "sharpe_ratio": measures.sharpe_ratio(equity, timeframe),
            "sortino_ratio": measures.sortino_ratio(equity, timeframe),
            "max_drawdown": measures.max_drawdown(equity),
            "win_rate": measures.win_rate(closed),
            "profit_factor": measures.profit_factor(closed),
            "calmar_ratio": measures.calmar_ratio(equity, timeframe),
            "exposure": measures.exposure(self.account.gross, equity),
            "turnover": measures.turnover(self._flows.traded, equity),
        }

    def _value(self, name: str) -> float | None:
        found = self._found[name]
        return None if isinstance(found, Absent) else found
