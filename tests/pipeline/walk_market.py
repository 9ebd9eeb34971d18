"""A walk-forward that runs in seconds, and the ways to run it."""

from polyscale.config.run_config import parse_config
from polyscale.dataset.settings import WalkForwardSettings
from polyscale.pipeline.run import Silent
from polyscale.pipeline.walk.evaluate import begin, evaluate_walk
from polyscale.store.store import Store

CONFIG = """
name: walk
market: {source: simulated, symbols: [AAA, BBB], simulation: {days: 50, timeframe: 15m, seed: 3}}
data:
  scales: [{timeframe: 15m, lookback: 16}, {timeframe: 1h, lookback: 8}]
  horizons: [1h, 4h]
  base_forecast: {window_days: 15, min_days: 5}
split: {train_share: 0.6, validate_share: 0.2}
walk_forward: {first: 2025-02-01, last: 2025-02-14, refit: week, validate_days: 5, seeds: 2}
network: {d_model: 8, cross_heads: 2, encoders: [{layers: 1, heads: 2}, {layers: 1, heads: 2}]}
training: {epochs: 2, stretch: 128, learning_rate: 0.02}
levels: [0.01, 0.1, 0.5, 0.9, 0.99]
backtest: {fee_bps: 5, slippage_bps: 1, assumed_funding_8h: 0.0001}
evaluation: {num_bootstrap: 200}
"""
SIMPLE = ("base", "last value", "ridge")


def walk_config(**walk):
    config = parse_config(CONFIG, "test")
    settings = WalkForwardSettings(**{**config.walk_forward.model_dump(), **walk})
    return config.model_copy(update={"walk_forward": settings})


def run_walk(path, config, *, jobs=1, baselines=SIMPLE, ablate=False, **how):
    """The folder and what was found."""
    store = Store(path / "store")
    folder = begin(config, store, path / "evaluations", Silent(), baselines, ablate=ablate)
    return folder, evaluate_walk(folder, store, Silent(), jobs, **how)
