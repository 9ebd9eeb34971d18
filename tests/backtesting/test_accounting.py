"""What must hold to the cent for any orders of many symbols: sums, floors, costs, causality."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyscale.backtesting.account import equity_at_closes
from polyscale.backtesting.book import FEE, PAID, SLIPPAGE
from polyscale.backtesting.engine import Asset, Exchange
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.bars import BAR_SCHEMA, TIME
from polyscale.market.order_rules import OrderRules
from polyscale.market.position import Positions
from tests.backtesting.market import FIRST, HOUR

SEEDS = st.integers(0, 2**63 - 1)
FIRST_MS = int(FIRST.timestamp() * 1000)
CAPITAL = 1000.0
NO_LEVELS = {"limit": None, "stop": None, "take_profit": None}


@given(SEEDS)
@example(12_360)  # a stop that volume fills in part, dearer than what is left at the bar's worst
@settings(max_examples=10_000, deadline=None)
def test_accounts_add_up_at_every_bar(seed):
    rng = np.random.default_rng(seed)
    account = some_settings(rng)
    assets, positions = some_market(rng, account.max_leverage)

    result = Exchange.open(assets, HOUR, account).run(positions, account)

    cash, equity = result.account.cash, result.equity
    shape = (len(assets), len(equity))
    units, price = (result.holdings[name].to_numpy().reshape(shape) for name in ("units", "price"))
    scale = max(CAPITAL, result.account.gross.max())
    assert np.abs(cash + (units * price).sum(0) - equity).max() <= 1e-9 * scale
    trades, costs = result.trades, result.costs
    assert abs(trades["net_pnl"].sum() - (equity[-1] - CAPITAL)) <= 1e-9 * scale * max(1, trades.height)
    assert abs(trades["costs"].sum() - costs.total) <= 1e-9 * max(scale, costs.total)
    assert equity.min() >= -1e-9 * scale
    assert_nothing_moves_without_a_cause(units, result)


def assert_nothing_moves_without_a_cause(units, result):
    fills, payments, _ = result.events
    still = np.ones(units.shape[1], dtype=bool)
    still[fills[:, 0].astype(int)] = still[payments[:, 0].astype(int)] = False
    flat = (units == 0).all(0)
    moved = np.diff(np.append(CAPITAL, result.equity)) != 0
    assert not (moved & still & flat).any()


@given(SEEDS, st.sampled_from(["fee_bps", "slippage_bps", "slippage_of_range", "assumed_funding_8h"]))
@settings(max_examples=300, deadline=None)
def test_costs_of_any_kind_never_help(seed, cost):
    rng = np.random.default_rng(seed)
    free = BacktestSettings(
        fee_bps=0, slippage_bps=0, assumed_funding_8h=0, initial_capital=CAPITAL, maintenance_margin=0
    )
    paid = BacktestSettings(
        **{**free.model_dump(), cost: float(rng.uniform(0, 0.01 if cost[-1] != "s" else 100))}
    )
    assets, positions = some_market(rng, 0.2, move=0.01)
    plain = {s: Asset(replace_volume(asset.bars)) for s, asset in assets.items()}
    bare = {s: replace(each, **NO_LEVELS) for s, each in positions.items()}

    without, with_costs = (Exchange.open(plain, HOUR, each).run(bare, each) for each in (free, paid))

    same = min(len(without.events.fills), len(with_costs.events.fills))
    assert same == len(without.events.fills)
    assert (with_costs.equity <= without.equity * (1 + 1e-12)).all()


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_the_same_fills_are_worth_no_more_with_their_costs(seed):
    """Of any orders with any levels: what was paid, taken out of the fills and the payments."""
    rng = np.random.default_rng(seed)
    account = some_settings(rng)
    assets, positions = some_market(rng, account.max_leverage)
    result = Exchange.open(assets, HOUR, account).run(positions, account)
    fills, payments, closes = (
        result.events.fills.copy(),
        result.events.payments.copy(),
        result.grid.prices.close,
    )

    fills[:, [FEE, SLIPPAGE]] = 0.0
    payments[:, PAID] = np.minimum(payments[:, PAID], 0.0)
    free = equity_at_closes(fills, payments, closes, result.initial_capital)

    assert (result.equity <= free + 1e-9 * CAPITAL).all()
    paid = result.costs.fees + result.costs.slippage + np.maximum(result.events.payments[:, PAID], 0).sum()
    assert free[-1] - result.equity[-1] == pytest.approx(paid, rel=1e-9, abs=1e-9 * CAPITAL)


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_bars_and_decisions_to_come_do_not_move_the_past(seed):
    rng = np.random.default_rng(seed)
    account = some_settings(rng)
    assets, positions = some_market(rng, account.max_leverage)
    exchange = Exchange.open(assets, HOUR, account)
    whole, closes = exchange.run(positions, account), exchange.grid.close_ms
    cut = int(closes[rng.integers(1, len(closes))])
    early = {s: replace(a, bars=a.bars.filter(known_at(cut))) for s, a in assets.items()}
    poisoned = {s: replace(a, bars=wrecked(a.bars, cut, rng)) for s, a in assets.items()}
    present = {s: a for s, a in early.items() if a.bars.height}

    prefix = run_if_long_enough(present, {s: until(positions[s], cut) for s in present}, account)
    poison = Exchange.open(poisoned, HOUR, account).run(
        {s: reversed_after(each, cut) for s, each in positions.items()}, account
    )

    rows = int((closes <= cut).sum())
    assert poison.equity[:rows].tolist() == whole.equity[:rows].tolist()
    assert prefix is None or prefix.equity.tolist() == whole.equity[:rows].tolist()
    earlier = whole.fills.filter(pl.lit(whole.events.fills[:, 0] < rows))
    assert poison.fills.filter(pl.lit(poison.events.fills[:, 0] < rows)).equals(earlier)


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_order_of_symbols_does_not_matter_where_nothing_is_cut(seed):
    rng = np.random.default_rng(seed)
    account = some_settings(rng).model_copy(update={"max_leverage": 5.0, "maintenance_margin": 0.0})
    assets, positions = some_market(rng, 0.3, move=0.01)
    backwards = dict(reversed(assets.items()))

    one, other = (Exchange.open(each, HOUR, account).run(positions, account) for each in (assets, backwards))

    assert other.equity.tolist() == pytest.approx(one.equity.tolist(), rel=1e-9)
    by = ["time", "symbol", "kind"]
    for name in ("units", "price", "fee", "slippage"):
        got, wanted = (each.fills.sort(by, maintain_order=True)[name].to_list() for each in (other, one))
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def some_settings(rng):
    return BacktestSettings(
        fee_bps=float(rng.choice([0, 10, 100])),
        maker_fee_bps=float(rng.choice([0, 5, 200])),
        slippage_bps=float(rng.choice([0, 10, 100])),
        slippage_of_range=float(rng.choice([0, 0, 0.2, 1])),
        volume_share=None if rng.random() < 0.5 else 0.2,
        assumed_funding_8h=float(rng.choice([0, 0.001, 0.3])),
        initial_capital=CAPITAL,
        maintenance_margin=float(rng.choice([0, 0.1])),
        max_leverage=float(rng.choice([1, 3, 5])),
    )


def some_market(rng, largest, move=None):
    """One to three symbols, bars missing in some, levels in disorder, funding assumed."""
    num_bars = int(rng.integers(3, 20))
    closes = FIRST_MS + HOUR.ms * np.arange(num_bars)
    assets, positions = {}, {}
    for n in range(rng.integers(1, 4)):
        has_bar = rng.random(num_bars) < (1 if n == 0 else 0.8)
        has_bar[-1] = True
        own = closes[has_bar]
        bars = some_bars(rng, own, move or rng.choice([0.01, 0.1]))
        rules = OrderRules(*(rng.choice([0, 0, 0.1], 2).tolist()), float(rng.choice([0, 50])))
        assets[f"S{n}"] = Asset(bars, rules=rules)
        positions[f"S{n}"] = some_positions(rng, own, bars["close"].to_numpy(), largest)
    return assets, positions


def some_bars(rng, closes, move):
    moves = rng.normal(0, move, (len(closes), 4))
    moves[:, 0] *= np.where(rng.random(len(closes)) < 0.1, 5, 1)
    path = 100 * np.exp(np.cumsum(moves.ravel())).reshape(-1, 4)
    numbers = {
        "open": path[:, 0],
        "high": path.max(1),
        "low": path.min(1),
        "close": path[:, -1],
        "volume": rng.choice([0.0, 10.0, 100.0], len(closes)),
        "turnover": np.ones(len(closes)),
    }
    time = pl.Series(closes).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    return pl.DataFrame({"close_time": time, **numbers}).select(list(BAR_SCHEMA))


def some_positions(rng, closes, close, largest):
    n = len(closes)
    target = largest * rng.choice([-1.0, -0.5, 0.0, 0.3, 1.0], n)
    target = target[np.maximum.accumulate(np.where(rng.random(n) < 0.5, np.arange(n), 0))]
    limit, stop, take = np.where(
        rng.random((3, n)) < 0.5, close * np.exp(rng.normal(0, 0.05, (3, n))), np.nan
    )
    entry, side = np.where(np.isnan(limit), close, limit), np.sign(target)
    stop[side * (entry - stop) <= 0] = np.nan
    take[side * (take - entry) <= 0] = np.nan
    return Positions(closes.astype("datetime64[ms]"), target, limit, stop, take)


def replace_volume(bars):
    return bars.with_columns(volume=pl.lit(1e9))


def known_at(cut):
    return pl.col("close_time") <= pl.lit(cut).cast(pl.Datetime("ms")).cast(TIME)


def wrecked(bars, cut, rng):
    factor = float(np.exp(rng.normal(0, 1)))
    prices = [
        pl.when(known_at(cut)).then(name).otherwise(pl.col(name) * factor)
        for name in BAR_SCHEMA
        if name in _PRICES
    ]
    return bars.with_columns(prices)


_PRICES = ("open", "high", "low", "close")


def until(positions, cut):
    known = positions.close_time <= np.datetime64(cut, "ms")
    return Positions(*(getattr(positions, name)[known] for name in positions.__dataclass_fields__))


def reversed_after(positions, cut):
    known = positions.close_time <= np.datetime64(cut, "ms")
    columns = [np.where(known, getattr(positions, name), np.nan) for name in NO_LEVELS]
    return Positions(positions.close_time, np.where(known, 1, -1) * positions.target, *columns)


def run_if_long_enough(assets, positions, account):
    times = {time for asset in assets.values() for time in asset.bars["close_time"].to_list()}
    return Exchange.open(assets, HOUR, account).run(positions, account) if len(times) > 1 else None
