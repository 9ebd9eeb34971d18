"""The compiled engine against the plain one of `tests.backtesting.reference`, over random markets."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.backtesting.book import KINDS
from polyscale.backtesting.engine import Asset, Exchange
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA, TIME
from polyscale.market.order_rules import OrderRules
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe
from tests.backtesting.reference import HOUR_MS, Bar, Decision, Listing, NaiveAccount

FIRST_MS = 1_735_689_600_000  # 2025-01-01


@given(st.integers(0, 2**63 - 1))
@settings(max_examples=600, deadline=None)
def test_fills_payments_and_equity_are_those_of_the_plain_account(seed):
    rng = np.random.default_rng(seed)
    timeframe = Timeframe(int(rng.choice([60, 240, 480])))
    account = some_settings(rng)
    listings = some_listings(rng, timeframe, account.max_leverage)

    expected = NaiveAccount(listings, account, timeframe.ms).run()
    exchange = Exchange.open({s: asset_of(listing) for s, listing in listings.items()}, timeframe, account)
    result = exchange.run({s: positions_of(listing) for s, listing in listings.items()}, account)

    assert result.liquidated == expected.liquidated
    fills = without_dust(fills_of(result))
    if expected.bankrupt:  # prices of a takeover are not unique
        fills = [fill for fill in fills if fill[1] != "liquidation"]
    plain = without_dust([(*named(fill), *fill[4:]) for fill in expected.fills])
    assert [fill[:4] for fill in fills] == [fill[:4] for fill in plain]
    assert_near([fill[4:] for fill in fills], [fill[4:] for fill in plain])
    close_ms, symbols = result.grid.close_ms, result.grid.symbols
    got = [(int(close_ms[int(t)]), symbols[int(n)], paid) for t, n, paid in result.events.payments]
    payments, plain = ([each for each in found if abs(each[2]) > 1e-9] for found in (got, expected.payments))
    assert [each[:2] for each in payments] == [each[:2] for each in plain]
    assert_near([each[2] for each in payments], [each[2] for each in plain])
    assert result.grid.close_ms.tolist() == list(expected.equity)
    assert_near(result.equity, list(expected.equity.values()))


def assert_near(got, wanted):
    assert np.ravel(got) == pytest.approx(np.ravel(wanted), rel=1e-9, abs=1e-8)


def named(fill):
    return fill.close_ms, fill.kind, fill.at_open, fill.symbol


def without_dust(fills):
    """Fills but for those in which rounding alone moved coins: what was full is found a hair short of it."""
    units, kept = dict.fromkeys("ABC", 0.0), []
    for fill in fills:
        if abs(fill[4] - units[fill[3]]) > 1e-9:
            kept.append(fill)
        units[fill[3]] = fill[4]
    return kept


def fills_of(result):
    grid = result.grid
    return [
        (int(grid.close_ms[int(t)]), KINDS[int(kind)], bool(at_open), grid.symbols[int(n)], *numbers)
        for t, n, kind, at_open, *numbers in result.events.fills
    ]


def asset_of(listing):
    closes = pl.Series("close_time", list(listing.bars)).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    columns = dict(zip(Bar._fields, zip(*listing.bars.values(), strict=True), strict=True))
    frame = pl.DataFrame({"close_time": closes, **columns}).with_columns(turnover=pl.lit(None, pl.Float64))
    funding = None
    if listing.funding is not None:
        rows = {"time": list(listing.funding), "funding_rate": list(listing.funding.values())}
        funding = pl.DataFrame(rows).with_columns(pl.col("time").cast(pl.Datetime("ms")).cast(TIME))
        funding = funding.cast(dict(FUNDING_SCHEMA))
    return Asset(frame.cast(dict(BAR_SCHEMA)), funding, listing.rules)


def positions_of(listing):
    times = np.array(list(listing.decisions), dtype=np.int64).astype("datetime64[ms]")
    columns = np.array(list(listing.decisions.values()), dtype=np.float64).reshape(-1, 4).T
    return Positions(times, *(column.copy() for column in columns))


def some_settings(rng):
    leverage = float(rng.choice([1, 2, 5]))
    return BacktestSettings(
        fee_bps=float(rng.choice([0, 10, 100])),
        maker_fee_bps=[None, 0.0, 5.0, 200.0][rng.integers(4)],
        slippage_bps=float(rng.choice([0, 10, 200])),
        slippage_of_range=float(rng.choice([0, 0, 0.1, 1])),
        volume_share=[None, None, 0.1, 0.5][rng.integers(4)],
        assumed_funding_8h=float(rng.choice([0, 0.001, 0.3])),
        initial_capital=1000.0,
        maintenance_margin=float(rng.choice([0, 0.005, 0.1])),
        max_leverage=leverage,
    )


def some_listings(rng, timeframe, leverage):
    num_bars = int(rng.integers(2, 14))
    closes = FIRST_MS + timeframe.ms * np.arange(1, num_bars + 1)
    listings, complete = {}, True
    for symbol in ["C", "A", "B"][: rng.integers(1, 4)]:
        exists = np.ones(num_bars, dtype=bool) if complete else rng.random(num_bars) < rng.choice([0.4, 0.9])
        exists[rng.integers(num_bars)] = True
        bars = some_bars(rng, closes[exists].tolist())
        listings[symbol] = Listing(
            bars, some_decisions(rng, bars, leverage), some_funding(rng, closes), some_rules(rng)
        )
        complete = False
    return listings


def some_bars(rng, closes):
    """Prices on coarse ticks, so that levels are touched exactly; some gaps are jumps."""
    calm = rng.choice([0.01, 0.04, 0.1])
    price, bars = 100.0, {}
    for t in closes:
        moves = rng.normal(0, calm, 5)
        moves[0] *= 8 * (rng.random() < 0.15)
        path = np.maximum(np.round(price * np.exp(np.cumsum(moves))), 2.0)
        price = float(path[-1])
        volume = float(rng.choice([0, 5, 50, 500]))
        bars[t] = Bar(float(path[0]), float(path.max()), float(path.min()), price, volume)
    return bars


def some_decisions(rng, bars, leverage):
    decisions, target = {}, 0.0
    often, wide = rng.choice([0.2, 0.5, 0.9]), rng.choice([0.02, 0.06, 0.2])
    for t, bar in bars.items():
        if rng.random() > often:
            continue
        is_order = rng.random() < 0.5
        before, target = (
            target,
            float(rng.choice([-1.2, -1, -0.5, 0, 0.5, 1])) * leverage if is_order else target,
        )
        levels = np.maximum(np.round(bar.close * np.exp(rng.normal(0, wide, 3))), 1.0)
        limit, stop, take = np.where(rng.random(3) < 0.5, levels, math.nan).tolist()
        if target != before:
            entry, side = bar.close if math.isnan(limit) else limit, np.sign(target)
            stop = math.nan if side * (entry - stop) <= 0 else stop
            take = math.nan if side * (take - entry) <= 0 else take
        decisions[t] = Decision(target, limit, stop, take)
    return decisions


def some_funding(rng, closes):
    if rng.random() < 0.5:
        return None
    stamps = range(FIRST_MS, int(closes[-1]) + 1, int(rng.choice([1, 4, 8])) * HOUR_MS)
    return {t: float(rng.normal(0, rng.choice([0.0, 0.001, 0.2]))) * 0.5 for t in stamps}


def some_rules(rng):
    return OrderRules(
        float(rng.choice([0, 0, 0.1, 2])), float(rng.choice([0, 0, 1])), float(rng.choice([0, 0, 100]))
    )
