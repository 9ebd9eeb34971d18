"""The chapter's table of hyper-parameters, measured: one factor at a time around `configs/btc_5m.yaml`.

``python -m benchmarks hyperparameters [BARS.parquet] [--store STORE] [--symbol BTCUSDT] [--seeds 2]``:
five-minute bars of a file or of the store, or simulated ones. Scales, width, heads, layers, lookback and
dropout are changed, each alone, and the network is trained again, one thread. Judged on the validation of the
split at hourly origins: QLIKE over the base forecast's, per horizon. The test is cut off the bars before
anything is computed. Validation also chooses the epoch, so that a ratio flatters all rows.
Seconds are those that the processor worked on a training, medians over seeds. Behind the table: how far two
seeds of one variant are apart.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from benchmarks.forecasters import DAYS, config_of
from benchmarks.train import ROOT
from polyscale.config.run_config import RunConfig, parse_config, read_config
from polyscale.evaluation.losses import qlike
from polyscale.exchange.bar_file import read_bar_file
from polyscale.market.bars import Market
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.judge import forecast_panel
from polyscale.pipeline.learn import Prepared, learn
from polyscale.pipeline.load import SymbolBars, load_symbols
from polyscale.pipeline.search import cut_off, fold_of, prepare_until
from polyscale.store.store import Store

BASE, HOUR_MS = Timeframe(5), 3_600_000
AS_IS = "as configured"
SCALE_15M = {"timeframe": "15m", "lookback": 96}  # a day
ENCODER_15M = {"layers": 1, "heads": 4, "dropout": 0.2}


class Variant(NamedTuple):
    """One factor at one value, and the config that has it."""

    factor: str
    value: str
    config: RunConfig


class Trained(NamedTuple):
    """What one training came to."""

    ratios: list[float]  # [H], QLIKE over the base forecast's
    seconds: float
    parameters: int
    epoch: int  # that validation chose, from 1
    num_origins: int


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m benchmarks hyperparameters")
    asked.add_argument("bars", nargs="?", type=Path)
    asked.add_argument("--store", help="read the bars that configs/btc_5m.yaml names from this store")
    asked.add_argument("--symbol", default="BTCUSDT")
    asked.add_argument("--seeds", type=int, default=2)
    options = asked.parse_args(sys.argv[2:] if sys.argv[1:2] == ["hyperparameters"] else [])
    torch.set_num_threads(1)
    config, symbols = market_of(options)
    fold = fold_of(config, symbols)
    symbols = cut_off(symbols, fold.ends.validate_end)
    rows: list[dict[str, Any]] = []
    prepared, of_data = None, None
    for variant in variants(config):
        if prepared is None or variant.config.data != of_data:
            prepared, of_data = prepare_until(variant.config, symbols, fold), variant.config.data
        came = [train(variant.config, prepared, 1 + seed) for seed in range(options.seeds)]
        rows.append(row_of(variant, came))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)  # what is there if it is cut off
    tell(rows, config, str(options.store or options.bars or f"{DAYS} simulated days"))


def market_of(options: argparse.Namespace) -> tuple[RunConfig, list[SymbolBars]]:
    """The config, and bars to the end of its validation and beyond."""
    config = read_config(ROOT / "configs" / "btc_5m.yaml")
    venue = config.market.model_copy(update={"symbols": (options.symbol,)})
    config = config.model_copy(update={"market": venue})
    if options.store:
        return config, load_symbols(config, Store(options.store))
    market = Market(venue.venue, venue.category, options.symbol)
    if options.bars:
        return config, [SymbolBars(market, read_bar_file(options.bars, BASE, "open").bars)]
    bars = simulate_bars(SimulationSettings(days=DAYS, timeframe=BASE, seed=1))
    return config.model_copy(update={"split": config_of(bars).split}), [SymbolBars(market, bars)]


def variants(config: RunConfig) -> Iterator[Variant]:
    """The config itself, then each factor at its other values."""
    raw = config.model_dump(mode="json", exclude_none=True)
    scales, encoders = raw["data"]["scales"], raw["network"]["encoders"]
    yield Variant("", AS_IS, config)
    for count in (1, 2, 3):
        yield with_scales(raw, scales[:count], encoders[:count])
    yield with_scales(raw, [scales[0], SCALE_15M, *scales[1:]], [encoders[0], ENCODER_15M, *encoders[1:]])
    for width in (16, 64, 128):
        yield changed(raw, "d_model", width, network={"d_model": width})
    for heads in (2, 8):
        each = [encoder | {"heads": heads} for encoder in encoders]
        yield changed(raw, "heads", heads, network={"encoders": each, "cross_heads": heads})
    for layers in (1, 2, 3, 4):
        each = [encoder | {"layers": layers} for encoder in encoders]
        yield changed(raw, "layers", layers, network={"encoders": each})
    for name, times in (("half", 0.5), ("double", 2)):
        each = [scale | {"lookback": int(scale["lookback"] * times)} for scale in scales]
        yield changed(raw, "lookback", name, data={"scales": each})
    for dropout in (0.0, 0.1, 0.3):
        each = [encoder | {"dropout": dropout} for encoder in encoders]
        yield changed(raw, "dropout", dropout, network={"encoders": each})


def with_scales(raw: dict[str, Any], scales: list[dict], encoders: list[dict]) -> Variant:
    return changed(raw, "scales", len(scales), data={"scales": scales}, network={"encoders": encoders})


def changed(raw: dict[str, Any], factor: str, value: object, **parts: dict[str, Any]) -> Variant:
    """The config with other values in some of its parts; checked again."""
    merged = raw | {part: raw[part] | values for part, values in parts.items()}
    return Variant(factor, str(value), parse_config(yaml.safe_dump(merged), f"{factor} {value}"))


def train(config: RunConfig, prepared: Prepared, seed: int) -> Trained:
    """Train, and judge the epoch that validation chose on the hours of validation."""
    begin = time.process_time()
    with TemporaryDirectory() as checkpoints:
        config = config.model_copy(update={"seed": seed})
        model, history = learn(config, prepared, Path(checkpoints))
    seconds = time.process_time() - begin
    panel, parts = prepared.panels[0], prepared.splits[0]
    asked = parts.validate & (panel.time_ms % HOUR_MS == 0)
    said = 2 * np.log(forecast_panel(model, panel, asked).volatility) - np.log(panel.targets.bars_ahead)
    came = panel.targets.log_variance[asked]
    ratios = qlike(came, said).mean(axis=0) / qlike(came, panel.base[asked]).mean(axis=0)
    best = min((each for each in history if each.val_loss is not None), key=lambda each: each.val_loss)
    return Trained(
        [round(float(ratio), 4) for ratio in ratios],
        round(seconds, 1),
        model.network.num_parameters,
        best.epoch,
        int(asked.sum()),
    )


def row_of(variant: Variant, came: list[Trained]) -> dict[str, Any]:
    return {
        "factor": variant.factor,
        "value": variant.value,
        "ratios": np.round(np.mean([each.ratios for each in came], axis=0), 4).tolist(),
        "by_seed": [each.ratios for each in came],
        "seconds": round(statistics.median(each.seconds for each in came), 1),
        "parameters": came[0].parameters,
        "epochs": [each.epoch for each in came],
        "num_origins": came[0].num_origins,
    }


def tell(rows: list[dict[str, Any]], config: RunConfig, source: str) -> None:
    """The table, the scatter of seeds, and a line of JSON."""
    horizons = [str(horizon) for horizon in config.data.horizons]
    scatter = scatter_of_seeds(rows)
    print(f"{source}: QLIKE over the base's in validation, {rows[0]['num_origins']:,} hours")
    heads = "".join(f"{horizon:>8}" for horizon in horizons)
    print(f"{'':<24}{heads}{'seconds':>10}{'parameters':>12}  epochs kept")
    for row in rows:
        ratios = "".join(f"{ratio:>8.3f}" for ratio in row["ratios"])
        name = f"{row['factor']} {row['value']}".strip()
        print(f"{name:<24}{ratios}{row['seconds']:>10.1f}{row['parameters']:>12,}  {row['epochs']}")
    if scatter:
        print(f"{'one seed from another':<24}" + "".join(f"{each:>8.3f}" for each in scatter))
    print(json.dumps({"source": source, "horizons": horizons, "scatter_of_seeds": scatter, "rows": rows}))


def scatter_of_seeds(rows: list[dict[str, Any]]) -> list[float] | None:
    """Root mean square distance [H] between two seeds of a variant; None with a single seed."""
    apart = [np.subtract(*pair) for row in rows for pair in combinations(row["by_seed"], 2)]
    return np.round(np.sqrt(np.mean(np.square(apart), axis=0)), 4).tolist() if apart else None


if __name__ == "__main__":
    main()
