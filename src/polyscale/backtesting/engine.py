"""The backtest: positions decided at closes, filled at the next bar's open, with all costs, on one account.

In: bars, positions, funding and order rules of one symbol or many; what trading costs. Out: a
`BacktestResult`. The doors are here, the walk over bars is `polyscale.backtesting.loop`.

A decision at the close of bar t is filled at the open of its symbol's next bar, after a gap too. An order
is made only where the target differs from the one decided before; between orders the coins are kept and their
share of the equity drifts. A decision at the last bar is never filled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.backtesting.book import Events, Rates
from polyscale.backtesting.funding import funding_rates
from polyscale.backtesting.loop import replay
from polyscale.backtesting.orders import make_orders
from polyscale.backtesting.prices import Grid, make_grid, named
from polyscale.backtesting.result import BacktestResult
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.errors import DataError
from polyscale.market.order_rules import NO_RULES, OrderRules
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe


@dataclass(frozen=True, eq=False)
class Asset:
    """What is known of a symbol that an account can trade."""

    bars: pl.DataFrame  # rows of `BAR_SCHEMA`
    funding: pl.DataFrame | None = None  # rows of `FUNDING_SCHEMA`; none charges what the settings assume
    rules: OrderRules = NO_RULES


@dataclass(frozen=True, eq=False)
class Exchange:
    """Symbols with all that an account meets there, checked once; trades any positions over them."""

    grid: Grid
    rates: Rates
    funding_sources: Mapping[str, str]
    rules: NDArray[np.float64]  # [N, 3] lot step, least quantity, least notional of each symbol

    @classmethod
    def open(cls, assets: Mapping[str, Asset], timeframe: Timeframe, settings: BacktestSettings) -> Exchange:
        """Check what is given.

        Parameters
        ----------
        assets
            By symbol. The run spans all their bars: cut them to the time that is to be measured.
        timeframe
            Of the bars; annualises the measures.
        settings
            Whose assumed funding is charged where none is given.

        Raises
        ------
        DataError
            If there is no symbol, bars or funding break their contract, there are fewer than two closes, or
            funding does not cover the bars, or is missing and nothing is assumed.
        """
        grid = make_grid({symbol: asset.bars for symbol, asset in assets.items()}, timeframe)
        rates, sources = _rates(assets, grid, settings.assumed_funding_8h)
        return cls(grid, rates, sources, np.array([astuple(asset.rules) for asset in assets.values()]))

    def run(self, positions: Mapping[str, Positions], settings: BacktestSettings) -> BacktestResult:
        """Trade positions decided at closes of their symbols' bars; not every bar needs one.

        Raises
        ------
        DataError
            If positions do not rise, are decided where there is no bar, or a stop or take-profit lies on the
            wrong side of the entry.
        """
        orders = make_orders(positions, self.grid, settings.max_leverage)
        capital = settings.initial_capital
        events = Events(*replay(self.grid.prices, orders, self.rates, capital, settings.venue(), self.rules))
        return BacktestResult(self.grid, events, capital, self.funding_sources)


def run_backtest(
    bars: pl.DataFrame,
    timeframe: Timeframe,
    positions: Positions,
    settings: BacktestSettings,
    funding: pl.DataFrame | None,
    rules: OrderRules = NO_RULES,
    symbol: str = "",
) -> BacktestResult:
    """Trade the positions of one symbol over its bars.

    Parameters
    ----------
    bars
        Rows of `BAR_SCHEMA`. The run spans all of them: cut them to the time that is to be measured.
    timeframe
        Of the bars; annualises the measures.
    positions
        Each decided at the close of one of the bars; not every bar needs one.
    settings
        Capital, costs, margin.
    funding
        Rows of `FUNDING_SCHEMA`. None charges ``assumed_funding_8h`` to either side at 00, 08 and 16 UTC.
    rules
        Steps and least sizes of orders.
    symbol
        Its name in errors and frames.

    Raises
    ------
    DataError
        If bars or funding break their contract, there are fewer than two bars, positions do not rise or are
        decided where there is no bar, a stop or take-profit lies on the wrong side of the entry, funding does
        not cover the bars, or is missing and nothing is assumed.
    """
    return run_portfolio({symbol: Asset(bars, funding, rules)}, timeframe, {symbol: positions}, settings)


def run_portfolio(
    assets: Mapping[str, Asset],
    timeframe: Timeframe,
    positions: Mapping[str, Positions],
    settings: BacktestSettings,
) -> BacktestResult:
    """Trade the positions of many symbols on one account, with cross margin; see `Exchange`."""
    return Exchange.open(assets, timeframe, settings).run(positions, settings)


def buy_and_hold(
    bars: pl.DataFrame,
    timeframe: Timeframe,
    settings: BacktestSettings,
    funding: pl.DataFrame | None,
    rules: OrderRules = NO_RULES,
    symbol: str = "",
) -> BacktestResult:
    """Decide for a target of 1 at the first close and keep the coins: the benchmark under the same costs."""
    first = bars["close_time"].head(1).dt.replace_time_zone(None).to_numpy()
    whole = Positions(first, np.ones(len(first)))
    return run_backtest(bars, timeframe, whole, settings, funding, rules, symbol)


def _rates(assets: Mapping[str, Asset], grid: Grid, assumed_8h: float | None) -> tuple[Rates, dict[str, str]]:
    """Funding of all symbols by bar, each from its own first bar on."""
    open_ms = grid.close_ms - grid.timeframe.ms
    parts, sources = [], {}
    for n, (symbol, asset) in enumerate(assets.items()):
        rows = grid.rows[n]
        first, last = (0, len(open_ms) - 1) if rows is None else (int(rows[0]), int(rows[-1]))
        try:
            found = funding_rates(asset.funding, open_ms[first:], last + 1 - first, assumed_8h)
        except DataError as error:
            raise DataError(f"{named(symbol)}{error}") from error
        sources[symbol] = found.source
        who = np.full(len(found.bar), n, dtype=np.int64)
        parts.append(Rates(found.bar + first, who, found.signed, found.both))
    joined = [np.concatenate([getattr(part, name) for part in parts]) for name in Rates._fields]
    order = np.argsort(joined[0], kind="stable")
    return Rates(*(values[order] for values in joined)), sources
