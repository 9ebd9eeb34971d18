"""A walk-forward that never was: simulated bars, a network and rivals, judged as a real one."""

import json

import numpy as np
from scipy import stats

from polyscale.config.run_config import parse_config
from polyscale.evaluation.contest import Entry
from polyscale.forecast.slopes import Slopes
from polyscale.market.bars import Market
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.walk.assemble import OWN, Track
from polyscale.pipeline.walk.evaluate import _finite
from polyscale.pipeline.walk.managed import managed_of
from polyscale.pipeline.walk.results import results_of
from polyscale.report.walk.page import WalkReport
from polyscale.report.walk.results import results_from
from tests.report.sample import AHEAD, LEVELS, forecast_of, guess, labels

CONFIG = f"""
name: walk
market: {{source: simulated, symbols: [AAA, BBB], simulation: {{days: 60}}}}
data: {{scales: [{{timeframe: 5m, lookback: 16}}], horizons: [1h, 4h, 1d]}}
split: {{train_share: 0.6, validate_share: 0.2}}
walk_forward: {{first: 2025-02-01, last: 2025-02-14, refit: week, validate_days: 5, seeds: 2}}
network: {{encoders: [{{layers: 1, heads: 2}}]}}
levels: {list(LEVELS)}
backtest: {{fee_bps: 5.5, slippage_bps: 1, assumed_funding_8h: 0.0001}}
evaluation: {{num_bootstrap: 200}}
"""
RIVALS = {"last value": 0.9, "log-HAR": 0.52, "base": 0.46, "ridge": 0.44}
VARIANTS = {"without the gate": 0.5, "horizon 1h alone": 0.45}


def walk_plain(symbols=("AAA", "BBB"), *, rivals=RIVALS, variants=(), noise=0.42, days=30, managed=False):
    """What evaluation.json would hold; ``noise`` is the network's, beside that of each rival."""
    config = parse_config(CONFIG, "test")
    tracks = [
        track(name, seed, rivals, {v: VARIANTS[v] for v in variants}, noise, days)
        for seed, name in enumerate(symbols, 1)
    ]
    held = {each.symbol: held_by(each, seed, days, config) for seed, each in enumerate(tracks, 1) if managed}
    found = results_of(tracks, config, held)
    seconds = {"network": 754.2, **dict.fromkeys(rivals, 0.02)}
    return json.loads(json.dumps(_finite({**found, "seconds": seconds}), allow_nan=False))


def held_by(own, seed, days, config):
    """Volatility-managed holding of a track, or why there is none."""
    bars = simulate_bars(SimulationSettings(days=days, seed=seed))
    return managed_of(own, SymbolBars(Market("sim", "spot", own.symbol), bars), config)


def track(symbol, seed, rivals, variants, noise, days):
    bars = simulate_bars(SimulationSettings(days=days, seed=seed))
    rng = np.random.default_rng(seed)
    log_variance, returns = labels(np.log(bars["close"].to_numpy()))
    own = guess(rng, log_variance, noise)
    said = {name: guess(rng, log_variance, value)[11::12] for name, value in rivals.items()}
    forecast = forecast_of(rng, bars, own, own).at(np.arange(11, len(bars), 12))
    ablated = {name: guess(rng, log_variance, value)[11::12] for name, value in variants.items()}
    if "horizon 1h alone" in ablated:
        ablated["horizon 1h alone"][:, 1:] = np.nan
    slopes = Slopes(np.array([0.25, 0.0, 1.0]), np.array([0.5, 0.125, 0.0]))
    return Track(
        symbol=symbol,
        forecast=forecast,
        plain_var=1.1 * forecast.quantiles[..., 0],
        shortfall=1.2 * forecast.quantiles[..., 0],
        entries={OWN: entry(own[11::12])} | {name: entry(values) for name, values in said.items()},
        variants=ablated,
        seeds={1: own[11::12], 2: own[11::12] + 0.1},
        log_variance=log_variance[11::12],
        returns=returns[11::12],
        sigma=np.abs(rng.standard_normal(len(forecast))),
        slopes={"2025-02-01": slopes, "2025-02-08": slopes},
    )


def entry(log_variance):
    volatility = np.exp(log_variance / 2) * np.sqrt(AHEAD)
    return Entry(log_variance, volatility[..., None] * stats.norm.ppf(LEVELS))


def walk_report(plain, **changes):
    facts = {
        "title": "walk: walk-forward",
        "results": results_from(plain),
        "simulated": True,
        "num_folds": 2,
        "num_seeds": 2,
        "round_trip_bps": 13.0,
        "provenance": {"evaluation": "walk-1", "commit": None, "libraries": {"torch": "2.13.0"}},
        "config_yaml": CONFIG,
    }
    return WalkReport(**facts | changes)
