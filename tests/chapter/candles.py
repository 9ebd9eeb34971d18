"""Candles for the chapter's functions."""

from functools import cache

import numpy as np
import pandas as pd

from polyscale.chapter import create_multi_scale_features, make_windows, simulate_klines

LOOKBACK = {"5min": 24, "15min": 16, "1H": 12}


@cache
def klines(days=8, interval="1", kind="realistic", seed=1):
    """One-minute candles from 2025-01-01 on; read only."""
    return simulate_klines(days, interval, kind=kind, seed=seed)


@cache
def windows(days=12, kind="realistic", seed=1):
    """Windows of three scales, every 15 minutes."""
    candles = klines(days, "5", kind, seed)
    features = create_multi_scale_features(candles, list(LOOKBACK))
    return make_windows(features, candles, LOOKBACK, every="15min")


def random_windows(n=40, seed=0, scales=None, width=5):
    """Noise, and returns that have nothing to do with it."""
    rng = np.random.default_rng(seed)
    x = {
        name: rng.normal(size=(n, rows, width)).astype(np.float32)
        for name, rows in (scales or {"1min": 12, "1H": 8}).items()
    }
    return x, 0.01 * rng.normal(size=(n, 3))


def as_the_chapter_has_them(candles):
    """The index as the exchange gives it: the open of each candle, without a zone."""
    opens = (candles.index - pd.Timedelta(minutes=1)).tz_localize(None).rename("timestamp")
    return candles.set_axis(opens)
