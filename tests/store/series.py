"""Small series of bars and funding, and bars as hypothesis draws them."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import strategies as st

from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA, Market
from polyscale.market.timeframe import Timeframe

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
M1, M5 = Timeframe(1), Timeframe(5)
BTC = Market("bybit", "linear", "BTCUSDT")
ETH = Market("bybit", "linear", "ETHUSDT")


def minute(number):
    return FIRST + timedelta(minutes=number)


def make_bars(minutes, price=100.0, turnover=50.0):
    times = pl.Series("close_time", [minute(m) for m in minutes], dtype=pl.Datetime("ms", "UTC"))
    numbers = dict.fromkeys(("open", "high", "low", "close"), price) | {"volume": 5.0, "turnover": turnover}
    columns = {name: pl.lit(value, pl.Float64) for name, value in numbers.items()}
    return pl.DataFrame([times]).with_columns(**columns)


def make_funding(hours, rate=0.0001):
    rows = [(minute(60 * hour), rate) for hour in hours]
    return pl.DataFrame(rows, FUNDING_SCHEMA, orient="row")


@st.composite
def drawn_bars(draw):
    """Bars of one minute out of the same hour, any doubles."""
    minutes = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=12)))
    rows = []
    for number in minutes:
        low, opened, closed, high = sorted(draw(st.lists(st.floats(1e-8, 1e9), min_size=4, max_size=4)))
        turnover = draw(st.none() | st.floats(0, 1e15))
        rows.append((minute(number), opened, high, low, closed, draw(st.floats(0, 1e12)), turnover))
    return pl.DataFrame(rows, BAR_SCHEMA, orient="row")
