"""Bars that many tests share; made once per session."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import polars as pl
import pytest

from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

REAL_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def bars() -> pl.DataFrame:
    """Forty days of simulated fifteen-minute bars."""
    return simulate_bars(SimulationSettings(days=40, timeframe=Timeframe(15), seed=3))


@pytest.fixture(scope="session")
def minute_bars() -> pl.DataFrame:
    """Five days of simulated one-minute bars."""
    return simulate_bars(SimulationSettings(days=5, timeframe=Timeframe(1), seed=4))


@pytest.fixture(scope="session")
def real_btc() -> pl.DataFrame:
    """Real five-minute bars of BTC."""
    path = REAL_DATA / "BYBIT-PERP_BTCUSDT_5m.parquet"
    if not path.exists():
        pytest.skip("the folder of real candles is absent")
    from polyscale.exchange.bar_file import read_bar_file

    return read_bar_file(path, Timeframe(5), "open").bars
