"""Learning, not only speed: how long ours takes to the best validation loss of the chapter's network.

A simulated market with a planted signal (`polyscale.market.simulate`): whether the move of the last three
hours agrees with that of the day before. Both networks have the same panels, scalers, labels, origins, loss,
width, layers, heads, lookbacks and one thread. The chapter's is trained on windows for half an hour
(POLYSCALE_LEARN_SECONDS changes that); its best validation loss and the seconds to it are noted. Then ours is
trained by the ordinary `fit` until its validation loss is at or below. Validation counts in neither time.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import chapter_training
from benchmarks.chapter_training import Point, Yardstick
from polyscale.config.run_config import RunConfig, parse_config
from polyscale.dataset.stretches import scale_panel
from polyscale.market.simulate import simulate_bars
from polyscale.model.network import MultiScaleAttention
from polyscale.model.settings import NetworkSpec
from polyscale.pipeline.learn import fit_scalers, prepare, spec_of
from polyscale.pipeline.load import SymbolBars
from polyscale.training.allocator import kept_memory
from polyscale.training.batches import Part
from polyscale.training.fit import _module, fit
from polyscale.training.module import TrainingModule

CONFIG = """
market:
  source: simulated
  symbols: [SIMULATED]
  simulation: {kind: planted, days: 1095, timeframe: 5m, seed: 11}
data:
  scales:
    - {timeframe: 5m, lookback: 288}
    - {timeframe: 1h, lookback: 48}
    - {timeframe: 4h, lookback: 42}
  horizons: [1h, 4h, 1d]
  base_forecast: {window_days: 40, min_days: 10}
split: {train_share: 0.6, validate_share: 0.2}
network:
  d_model: 32
  feedforward_ratio: 4
  encoders:
    - {layers: 2, heads: 4}
    - {layers: 2, heads: 4}
    - {layers: 2, heads: 4}
training: {epochs: 20, patience: 20, stretch: 512, learning_rate: 0.003, level_noise: 0.2}
backtest: {fee_bps: 5.5, slippage_bps: 1.0, assumed_funding_8h: 0.0001}
"""
BUDGET_S = float(os.environ.get("POLYSCALE_LEARN_SECONDS", "1800"))
VALIDATE_EVERY_S = 20.0  # of the time of the chapter's network
VALIDATE_EVERY = 24  # bars between validation origins: two hours
LEARNING_RATE = 3e-3  # three times the chapter's: learns in half the time of that
SEED = 1


class Reached(Exception):  # noqa: N818 -- the good end of a training
    """The validation loss is at or below the target."""


def main() -> None:
    torch.set_num_threads(1)
    config = parse_config(CONFIG, "benchmarks/learn.py")
    spec, train, validate = same_data(config)
    module = _module(MultiScaleAttention(spec), train, config.training, SEED)
    yardstick = Yardstick(config.training, module.reference, module.levels, module.log_bars)
    with kept_memory():
        theirs = chapter_training.train(
            spec,
            (train, validate),
            module.network.heads.base_quantiles,
            yardstick,
            learning_rate=LEARNING_RATE,
            budget_s=BUDGET_S,
            validate_every_s=VALIDATE_EVERY_S,
            seed=SEED,
        )
    best = min(theirs, key=lambda point: point.loss)
    ours = train_until(best.loss, spec, train, validate, config)
    print(
        f"{int(train.counted[0].sum()):,} training origins, {int(validate.counted[0].sum()):,} to validate, "
        f"lookbacks {', '.join(f'{s} x {n}' for s, n in zip(spec.scales, spec.lookbacks, strict=True))}"
    )
    print(f"loss of the base forecast alone: {theirs[0].loss:.4f}")
    tell("the chapter's network, batches of windows", theirs)
    tell("polyscale, epochs", ours)
    reached = ours[-1].loss <= best.loss
    print(
        json.dumps(
            {
                "time_ratio": round(ours[-1].seconds / best.seconds, 4) if reached and best.steps else None,
                "seconds": round(ours[-1].seconds, 2),
                "loss": round(ours[-1].loss, 5),
                "epochs": ours[-1].steps,
                "plain_seconds": round(best.seconds, 2),
                "plain_loss": round(best.loss, 5),
                "plain_windows_per_second": round(
                    theirs[-1].steps * chapter_training.BATCH / theirs[-1].seconds, 1
                ),
                "plain_budget_seconds": BUDGET_S,
                "base_loss": round(theirs[0].loss, 5),
            }
        )
    )


def same_data(config: RunConfig) -> tuple[NetworkSpec, Part, Part]:
    """What both networks learn from: the product's own panels, split and frozen scalers."""
    data, simulation = config.data, config.market.simulation
    bars = simulate_bars(simulation)
    prepared = prepare(config, [SymbolBars(config.market.markets()[0], bars)])
    feature_scalers, origin_scaler = fit_scalers(prepared, data)
    panel = scale_panel(prepared.panels[0], feature_scalers, origin_scaler)
    split = prepared.splits[0]
    every = np.arange(len(split.validate)) % VALIDATE_EVERY == 0
    return spec_of(config), Part([panel], [split.train], data), Part([panel], [split.validate & every], data)


def train_until(
    target: float, spec: NetworkSpec, train: Part, validate: Part, config: RunConfig
) -> list[Point]:
    """The ordinary training, ended at the first epoch whose validation loss is at or below the target."""
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder, clock_without_validation() as seconds:

        def look(report) -> None:
            points.append(Point(seconds(), report.val_loss, report.epoch))
            if report.val_loss <= target:
                raise Reached

        with suppress(Reached):
            fit(train, validate, spec, config.training, SEED, Path(folder), progress=look)
    return points


@contextmanager
def clock_without_validation() -> Iterator:
    """Gives the seconds since the start, less those of Lightning's validations."""
    begin, out = time.perf_counter(), [0.0]

    def leave(_) -> None:
        out[0] -= time.perf_counter()

    def come_back(_) -> None:
        out[0] += time.perf_counter()

    with (
        patch.object(TrainingModule, "on_validation_start", leave),
        patch.object(TrainingModule, "on_validation_end", come_back),
    ):
        yield lambda: time.perf_counter() - begin - out[0]


def tell(name: str, points: list[Point]) -> None:
    """A dozen of the validations, the best among them."""
    best = min(points, key=lambda point: point.loss)
    shown = sorted({*points[1 :: max(len(points) // 12, 1)], best, points[-1]})
    print(f"{name:<44}{'seconds':>9}{'loss':>10}")
    for point in shown:
        print(f"{point.steps:>44,}{point.seconds:>9.1f}{point.loss:>10.4f}{' best' * (point is best)}")


if __name__ == "__main__":
    main()
