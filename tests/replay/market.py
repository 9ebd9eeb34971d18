"""Made-up markets with few decimals, as real ones have, and exchanges that play them."""

import json
from functools import cache

import polars as pl

from polyscale.market.bars import FUNDING_SCHEMA, Market
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.replay.exchange import ReplayExchange
from polyscale.replay.settings import FaultSettings, ReplaySettings

FIRST_MS = 1_735_689_600_000  # 2025-01-01, a Wednesday
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
M1, M5, H1, D1, W1 = map(Timeframe, (1, 5, 60, 1_440, 10_080))
BTC = Market("bybit", "linear", "BTCUSDT")
ETH = Market("bybit", "linear", "ETHUSDT")
SPOT = Market("bybit", "spot", "BTCUSDT")
INVERSE = Market("bybit", "inverse", "BTCUSD")


@cache
def bars_of(days=2, timeframe=M1, seed=1):
    """Bars from 2025-01-01 on, without gaps."""
    bars = simulate_bars(SimulationSettings(days=days, timeframe=timeframe, seed=seed))
    prices = [pl.col(name).round(2) for name in ("open", "high", "low", "close")]
    return bars.with_columns(*prices, pl.col("volume").round(3), pl.col("turnover").round(4))


def rates_of(num=7, hours=8):
    """Funding rates every eight hours from 2025-01-01 on."""
    times = pl.Series(range(num)).cast(pl.Int64) * hours * HOUR_MS + FIRST_MS
    rates = pl.Series([1e-5 * idx for idx in range(num)])
    frame = pl.DataFrame({"time": times, "funding_rate": rates})
    return frame.select(pl.col(name).cast(kind) for name, kind in FUNDING_SCHEMA.items())


def exchange_of(now_ms, bars=None, funding=None, faults=None, **settings):
    """An exchange at an instant; plays two days of one-minute BTCUSDT if nothing else is given."""
    played = ReplaySettings(faults=FaultSettings(**faults or {}), **settings)
    held = {(BTC, M1): bars_of()} if bars is None else bars
    return ReplayExchange(bars=held, funding=funding or {}, start_ms=now_ms, settings=played)


def ask(exchange, path, **params):
    """What a REST request gives: the code and the result."""
    given = {name: str(value) for name, value in params.items()}
    answer = exchange.answer(f"/v5/market/{path}", given, "somewhere", 0.0)
    assert answer.status == 200
    body = json.loads(answer.body)
    return body["retCode"], body["result"]


def rows(exchange, path="kline", **params):
    """Rows of a page, newest first."""
    usual = {"category": "linear", "symbol": "BTCUSDT", "interval": "1"}
    code, result = ask(exchange, path, **{**usual, **params})
    assert code == 0
    return result["list"]


def starts(page):
    """When the candles of a page began."""
    return [int(row[0]) for row in page]


def wire_row(bar, timeframe=M1):
    """A bar of a frame as the numbers of a row: start, open, high, low, close, volume, turnover."""
    closed = int(bar["close_time"].timestamp() * 1_000)
    return [closed - timeframe.ms, *(bar[name] for name in list(bar)[1:])]
