"""Frames in and out: whose time an index is, what is refused, and where candles come from."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from polyscale.chapter import fetch_bybit_klines, simulate_klines
from polyscale.chapter.frames import to_bars, to_frame
from polyscale.market.errors import ConfigError, DataError, HistoryError
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from tests.chapter.candles import as_the_chapter_has_them, klines
from tests.replay.market import DAY_MS, FIRST_MS, bars_of, exchange_of
from tests.replay.running import running

M1 = Timeframe(1)


def test_a_frame_with_closes_goes_in_and_out_unchanged():
    bars = simulate_bars(SimulationSettings(days=1, timeframe=M1))
    again, timeframe = to_bars(to_frame(bars))
    assert timeframe == M1
    assert again.equals(bars)


def test_an_index_of_another_name_is_the_bars_open_unless_it_is_said():
    candles = klines(1)
    opens = as_the_chapter_has_them(candles)
    assert opens.index.name == "timestamp"
    assert opens.index.tz is None
    bars, _ = to_bars(candles)
    assert to_bars(opens)[0].equals(bars)
    assert to_bars(candles, "open")[0]["close_time"].equals(bars["close_time"].dt.offset_by("1m"))
    assert to_bars(candles.rename_axis("time"), "close")[0].equals(bars)


def test_another_zone_is_the_same_instant():
    candles = klines(1)
    assert to_bars(candles.tz_convert("Asia/Tokyo"))[0].equals(to_bars(candles)[0])


def test_rows_without_prices_are_missing_bars():
    candles = klines(1).copy()
    candles.iloc[10:15] = np.nan
    bars, timeframe = to_bars(candles)
    assert timeframe == M1
    assert bars.height == len(candles) - 5


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda f: f.drop(columns="volume"), DataError, "missing \\['volume'\\]"),
        (lambda f: f.reset_index(drop=True), DataError, "must be times .* got RangeIndex"),
        (lambda f: f.iloc[:1], HistoryError, "at least 2 bars, found 1"),
        (lambda f: f.iloc[::-1], DataError, "close_time must rise"),
        (lambda f: pd.concat([f, f.iloc[-1:]]), DataError, "each time once"),
        (lambda f: f.assign(low=f["high"] * 1.1), DataError, "high must be >="),
        (lambda f: f["close"], DataError, "must be a pandas.DataFrame, got Series"),
        (
            lambda f: f.set_axis(f.index[0] + pd.to_timedelta(np.arange(len(f)) * 90, unit="s")),
            DataError,
            "whole minutes apart",
        ),
    ],
)
def test_what_are_no_candles_is_refused(change, error, says):
    with pytest.raises(error, match=says):
        to_bars(change(klines(1)))


def test_simulated_candles_are_those_of_the_simulated_market():
    bars = simulate_bars(SimulationSettings(kind="planted", days=2, timeframe=Timeframe(5), seed=7))
    candles = simulate_klines(2, "5", kind="planted", seed=7)
    assert candles.index.name == "close_time"
    assert str(candles.index.tz) == "UTC"
    np.testing.assert_array_equal(candles["close"].to_numpy(), bars["close"].to_numpy())


@pytest.fixture(scope="module")
def server():
    with running(exchange_of(FIRST_MS + 2 * DAY_MS + 30_000, limited=False)) as server:
        yield server


def test_fetched_candles_are_the_newest_closed_ones_however_many(server):
    candles = fetch_bybit_klines("btcusdt", "1", 2_500, url=server.url)
    expected = to_frame(bars_of().tail(2_500).with_columns(pl.col("turnover").cast(pl.Float64)))
    pd.testing.assert_frame_equal(candles, expected, check_freq=False)
    assert candles.index[-1] == pd.Timestamp("2025-01-03", tz="UTC")  # the one that is open then is left out


def test_an_address_may_stand_in_the_environment(server, monkeypatch):
    monkeypatch.setenv("POLYSCALE_BYBIT_URL", server.url)
    hours = fetch_bybit_klines("BTCUSDT", "60", 10)
    assert len(hours) == 10
    assert (hours.index.minute == 0).all()


@pytest.mark.parametrize(
    ("words", "says"), [({"limit": 0}, "limit must be at least 1"), ({"interval": "M"}, "timeframe must be")]
)
def test_what_cannot_be_fetched_is_refused(words, says, server):
    with pytest.raises(ConfigError, match=says):
        fetch_bybit_klines(**words, url=server.url)
