"""A config that runs in seconds."""

import torch

from polyscale.training.model_file import save_model

SMALL = """
name: small
market: {source: simulated, symbols: [SIM], simulation: {kind: KIND, days: DAYS, timeframe: 15m, seed: 3}}
data:
  scales: [{timeframe: 15m, lookback: 16}, {timeframe: 1h, lookback: 8}]
  horizons: [1h, 4h]
  base_forecast: {window_days: 15, min_days: 5}
split: {train_share: 0.6, validate_share: 0.2}
network: {d_model: 8, cross_heads: 2, encoders: [{layers: 1, heads: 2}, {layers: 1, heads: 2}]}
training: {epochs: 2, stretch: 128, learning_rate: 0.02}
strategy: {horizon: 4h, confidence: 0.5, edge_over_cost: 0}
backtest: {fee_bps: 5, slippage_bps: 1, assumed_funding_8h: 0.0001}
evaluation: {num_bootstrap: 200}
"""


def small(kind="realistic", days=40):
    """Its text for a kind of market and a length."""
    return SMALL.replace("KIND", kind).replace("DAYS", str(days))


def believed(run):
    """The run with the network's own direction and shape, whatever validation says: so that it trades."""
    heads = run.model.network.heads
    heads.set_slopes(torch.ones_like(heads.direction_slopes), torch.ones_like(heads.shape_slopes))
    save_model(run.model, run.folder.path)
    return run
