"""Small files of candles, and the same candles as hypothesis draws them."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import strategies as st

from polyscale.market.timeframe import Timeframe

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 1, 1, tzinfo=UTC)
M1, M5 = Timeframe(1), Timeframe(5)
HEADER = "open_time,open,high,low,close,volume,turnover"
ROWS = (
    "2024-01-01 00:00:00+00:00,10,12,9,11,5,50",
    "2024-01-01 00:01:00+00:00,11,13,10,12,6,60",
    "2024-01-01 00:02:00+00:00,12,14,11,13,7,",
)


def write_csv(folder, *rows, header=HEADER, name="bars.csv"):
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def make_candles(num_rows=3, step=M1, time="open_time"):
    times = [FIRST + timedelta(minutes=step.minutes * i) for i in range(num_rows)]
    prices = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0}
    frame = pl.DataFrame({time: times}, schema={time: pl.Datetime("ms", "UTC")})
    return frame.with_columns(**{name: pl.lit(value) for name, value in prices.items()})


def write_parquet(folder, frame, name="bars.parquet"):
    path = folder / name
    frame.write_parquet(path)
    return path


@st.composite
def drawn_bars(draw):
    """Bars of one minute with gaps and any doubles, as the contract has them."""
    num_rows = draw(st.integers(2, 12))
    steps = [1, *draw(st.lists(st.integers(1, 2_000), min_size=num_rows - 1, max_size=num_rows - 1))]
    steps[1] = 1  # the smallest step is the timeframe
    prices = st.floats(1e-8, 1e9)
    rows, minutes = [], 0
    for step in steps:
        minutes += step
        low, first, second, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
        opened, closed = draw(st.permutations([first, second]))
        volume, turnover = draw(st.floats(0, 1e12)), draw(st.none() | st.floats(0, 1e15))
        rows.append((FIRST + timedelta(minutes=minutes), opened, high, low, closed, volume, turnover))
    names = ["close_time", "open", "high", "low", "close", "volume", "turnover"]
    kinds = [pl.Datetime("ms", "UTC"), *[pl.Float64] * 6]
    return pl.DataFrame(rows, dict(zip(names, kinds, strict=True)), orient="row")
