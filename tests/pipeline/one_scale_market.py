"""A market in which one scale alone carries the signal, and a config of three scales to learn it.

Volatility is set by how much the volume of the carrier's bar differed from that of the bar before it, so
long ago that the lookbacks of the finer scales have ended. Coarser scales see nothing of it, since the
volumes of the carrier's bars always add up to the same in a bar of the next scale. Volumes of different bars
are independent, and the base forecast does not look at volume.
"""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from polyscale.config.run_config import parse_config
from polyscale.market.bars import BAR_SCHEMA, check_bars
from polyscale.market.timeframe import Timeframe

BASE = Timeframe(15)
SCALES = ("15m", "30m", "2h")
EFFECT, BAR_SD = 0.8, 0.003
CONFIG = parse_config(
    """
name: one_scale
market: {symbols: [SIM]}
data:
  scales: [{timeframe: 15m, lookback: 5}, {timeframe: 30m, lookback: 11}, {timeframe: 2h, lookback: 8}]
  horizons: [1h]
  features: [volume_change, close_position]
  base_forecast: {window_days: 30, min_days: 5}
split: {train_share: 0.7, validate_share: 0.15}
network:
  d_model: 16
  cross_heads: 2
  encoders: [{layers: 1, heads: 2}, {layers: 1, heads: 2}, {layers: 1, heads: 2}]
training: {epochs: 12, stretch: 128, learning_rate: 0.01}
strategy: {horizon: 1h}
backtest: {fee_bps: 5, slippage_bps: 1, assumed_funding_8h: 0.0001}
evaluation: {num_bootstrap: 200}
""",
    "one_scale",
)


class Carrier(NamedTuple):
    """In base bars: the carrier's bar, the bar whose volume is always the same (None: none), how long ago."""

    size: int
    parent: int | None
    lag: int


# a forecast of 1h at t needs what acted at t - lag + 4 and before; finer scales see 5 and 22 base bars
CARRIERS = {"15m": Carrier(1, 2, 4), "30m": Carrier(2, 8, 18), "2h": Carrier(8, None, 32)}


def one_scale_market(scale, days, seed=0):
    """Checked fifteen-minute bars."""
    carrier, rng, num = CARRIERS[scale], np.random.default_rng(seed), days * 96
    volume = np.exp(rng.normal(size=num // carrier.size))
    if carrier.parent:
        shares = volume.reshape(-1, carrier.parent // carrier.size)
        volume = (shares / shares.mean(axis=1, keepdims=True)).ravel()
    differ = np.abs(np.diff(volume, prepend=volume[0]))
    differ[1:] /= volume[1:] + volume[:-1]
    acting = np.repeat((differ - differ.mean()) / differ.std(), carrier.size)
    acting = np.concatenate([np.zeros(carrier.lag), acting[: -carrier.lag]])
    shocks = rng.normal(0, 1 / np.sqrt(6), (num, 6)) * (BAR_SD * np.exp(EFFECT * acting))[:, None]
    traded = np.repeat(volume, carrier.size) * np.exp(0.05 * rng.normal(size=num))
    return to_bars(100 * np.exp(np.cumsum(shocks).reshape(num, 6)), 1_000 * traded)


def to_bars(prices, volume):
    """Bars from the price path inside each."""
    opens = np.concatenate([[100.0], prices[:-1, -1]])
    inside = np.column_stack([opens, prices])
    start = round(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1_000)
    closes = pl.Series(start + BASE.ms * np.arange(1, len(volume) + 1))
    columns = {
        "close_time": closes.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"),
        "open": opens,
        "high": inside.max(axis=1),
        "low": inside.min(axis=1),
        "close": prices[:, -1],
        "volume": volume,
        "turnover": volume * inside.mean(axis=1),
    }
    return check_bars(pl.DataFrame(columns, schema=BAR_SCHEMA), BASE)
