"""The chapter's first table, measured: LSTM, Transformer and TFT of neuralforecast beside ours.

``python -m benchmarks forecasters [BARS.parquet] [--days DAYS] [--budget SECONDS]``: five-minute bars of a
file, or simulated ones. All forecast the variance of the next hour, four hours and day, at the same hours of
the last fifth, and learn from what came before. The peers read a week of hours (variance and season; TFT
range and volume too, which the others do not take) and forecast 24 of them; the variance of a longer
horizon is the mean of its hours, corrected for bias on validation hours. Ours is `configs/btc_5m.yaml`. Each
runs in a process of its own, one thread, a peer's training for at most the budget; seconds are those of
training and forecasting, for ours with all features. Log-HAR and the base forecast stand beside them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from benchmarks.train import PEERS_PYTHON, ROOT
from polyscale.base.forecasts import last_value, log_har
from polyscale.config.run_config import RunConfig, read_config
from polyscale.dataset.settings import SplitSettings
from polyscale.evaluation.baselines.correction import log_bias
from polyscale.evaluation.losses import qlike
from polyscale.exchange.bar_file import read_bar_file
from polyscale.features.clock import season
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import DAY_MS, Timeframe
from polyscale.scales.grid import to_grid
from polyscale.targets.targets import Targets, make_targets

DAYS, BUDGET_S, HOUR_MS, BASE = 300, 180, 3_600_000, Timeframe(5)
TEST_SHARE, VALIDATE_SHARE = 0.2, 0.1
PEERS = ("LSTM", "Transformer", "TFT")
OURS = "polyscale"


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m benchmarks forecasters")
    asked.add_argument("bars", nargs="?", type=Path)
    asked.add_argument("--days", type=int, default=DAYS)
    asked.add_argument("--budget", type=int, default=BUDGET_S, help="seconds of training of each peer")
    options = asked.parse_args(sys.argv[2:] if sys.argv[1:2] == ["forecasters"] else [])
    bars = (
        read_bar_file(options.bars, BASE, "open").bars
        if options.bars
        else simulate_bars(SimulationSettings(days=options.days, timeframe=BASE, seed=1))
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        bars.write_parquet(folder / "bars.parquet")
        rows = table(folder, options.budget)
    source = options.bars.name if options.bars else f"{options.days} simulated days"
    horizons = [str(horizon) for horizon in config_of(bars).data.horizons]
    print(f"{source}: QLIKE at the hours of the test")
    heads = "".join(f"{horizon:>9}" for horizon in horizons)
    print(f"{'':<20}{heads}{'seconds':>10}{'MB':>8}{'parameters':>12}")
    for name, row in rows.items():
        scores = "".join(f"{score:>9.4f}" for score in row["qlike"])
        costs = [row.get(key) for key in ("seconds", "peak_mb", "parameters")]
        shown = ["" if cost is None else f"{cost:,.0f}" for cost in costs]
        print(f"{name:<20}{scores}{shown[0]:>10}{shown[1]:>8}{shown[2]:>12}")
    if not PEERS_PYTHON.exists():
        print("neuralforecast: its environment is not there; make bench")
    ours = np.array(rows[OURS]["qlike"])
    ratios = {
        f"ratio_{name}": np.round(ours / np.array(row["qlike"]), 4).tolist()
        for name, row in rows.items()
        if name != OURS
    }
    print(json.dumps({"source": source, "horizons": horizons, **ratios, "rows": rows}))


def table(folder: Path, budget_s: int) -> dict[str, dict]:
    """QLIKE per horizon of all forecasters on the same hours, and what they cost."""
    bars = pl.read_parquet(folder / "bars.parquet")
    config = config_of(bars)
    grid = to_grid(bars, BASE)
    targets = make_targets(grid, BASE, config.data.horizons)
    time_ms = grid["close_time"].dt.epoch("ms").to_numpy()
    write_hours(folder, grid, config)
    costs = {OURS: in_own_process(sys.executable, ["-c", OURS_CODE, str(folder)])}
    if PEERS_PYTHON.exists():
        for name in PEERS:
            module = ["-m", "benchmarks.peers.neuralforecast_skill", str(folder), name, str(budget_s)]
            costs[name] = in_own_process(str(PEERS_PYTHON), module)
    ours = np.load(folder / f"{OURS}.npz")
    at = np.searchsorted(time_ms, ours["origin_ms"])
    said = {
        OURS: ours["said"],
        "base forecast": ours["base"],
        "log-HAR": log_har(grid, BASE, targets, config.data.base_forecast)[at],
        "last value": last_value(grid, targets)[at],
    }
    for name in costs.keys() - {OURS}:
        said[name] = of_hours(np.load(folder / f"{name}.npz"), ours["origin_ms"], time_ms, targets, config)
    came = targets.log_variance[at]
    known = np.isfinite(came).all(axis=1) & np.all(
        [np.isfinite(f).all(axis=1) for f in said.values()], axis=0
    )
    order = [OURS, *(name for name in PEERS if name in said), "base forecast", "log-HAR", "last value"]
    return {
        name: {
            "qlike": [round(float(q), 5) for q in qlike(came, said[name])[known].mean(axis=0)],
            **costs.get(name, {}),
        }
        for name in order
    }


def config_of(bars: pl.DataFrame) -> RunConfig:
    """`configs/btc_5m.yaml` with a split by shares of whole days, so that all cut at the same midnight."""
    config = read_config(ROOT / "configs" / "btc_5m.yaml")
    first, last = (bars["close_time"].dt.epoch("ms")[k] for k in (0, -1))

    def day(share: float):
        return (
            datetime.fromtimestamp((first + share * (last - first)) / 1_000, UTC) - timedelta(days=1)
        ).date()

    split = SplitSettings(
        train_until=day(1 - TEST_SHARE - VALIDATE_SHARE), validate_until=day(1 - TEST_SHARE)
    )
    return config.model_copy(update={"split": split})


def ends_of(config: RunConfig) -> tuple[int, int]:
    """Where training and validation end, epoch ms."""
    days = (config.split.train_until, config.split.validate_until)
    return tuple(int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp() * 1_000) + DAY_MS for d in days)


def write_hours(folder: Path, grid: pl.DataFrame, config: RunConfig) -> None:
    """The hourly series that the peers read, from the first full hour to the last."""
    close = np.log(grid["close"].fill_null(strategy="forward").to_numpy())
    time_ms = grid["close_time"].dt.epoch("ms").to_numpy()
    per_hour = BASE.bars_in(Timeframe(60))
    squared = np.diff(close, prepend=close[0]) ** 2 + 1e-10
    last = np.flatnonzero(time_ms % HOUR_MS == 0)
    last = last[last >= per_hour]
    bars_idx = last[:, None] - np.arange(per_hour)
    high, low, volume = (
        grid[name].fill_null(strategy="forward").to_numpy() for name in ("high", "low", "volume")
    )
    ranges = np.log(high[bars_idx].max(axis=1) / low[bars_idx].min(axis=1)) + 1e-6
    train_end, validate_end = ends_of(config)
    hours = time_ms[last]
    np.savez(
        folder / "hours.npz",
        time_ms=hours,
        y=np.log(squared[bars_idx].mean(axis=1)),
        behind=np.column_stack([np.log(ranges), np.log(volume[bars_idx].sum(axis=1) + 1)]),
        season=season(hours),
        validate=int(((hours > train_end) & (hours <= validate_end)).sum()),
        test=int((hours > validate_end).sum()),
    )


def of_hours(
    peer, origin_ms: np.ndarray, time_ms: np.ndarray, targets: Targets, config: RunConfig
) -> np.ndarray:
    """Log variance [n, H] out of forecasts of single hours: their mean, corrected for bias on validation."""
    steps = [horizon.minutes // 60 for horizon in targets.horizons]
    path = np.exp(peer["said"])
    said = np.log(np.column_stack([path[:, :hours].mean(axis=1) for hours in steps]))
    at = np.searchsorted(time_ms, peer["origin_ms"])
    train_end, validate_end = ends_of(config)
    label_end = peer["origin_ms"] + targets.horizons[-1].ms
    surprise = (targets.log_variance[at] - said)[
        (peer["origin_ms"] > train_end) & (label_end <= validate_end)
    ]
    surprise = surprise[np.isfinite(surprise).all(axis=1)]
    said = said + [log_bias(column) for column in surprise.T]
    found = np.full((len(origin_ms), len(steps)), np.nan)
    place = {int(origin): k for k, origin in enumerate(peer["origin_ms"])}
    for k, origin in enumerate(origin_ms):
        if int(origin) in place:
            found[k] = said[place[int(origin)]]
    return found


def in_own_process(python: str, arguments: list[str]) -> dict:
    kept = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [python, *arguments], cwd=ROOT, env=kept, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


OURS_CODE = "import sys; from benchmarks.forecasters import run_ours; run_ours(sys.argv[1])"


def run_ours(name: str) -> None:
    """Panels, training, forecasts at the hours of the test; prints a line of JSON."""
    import torch

    from polyscale.market.bars import Market
    from polyscale.pipeline.judge import forecast_panel
    from polyscale.pipeline.learn import learn, prepare
    from polyscale.pipeline.load import SymbolBars

    torch.set_num_threads(1)
    folder = Path(name)
    bars = pl.read_parquet(folder / "bars.parquet")
    config = config_of(bars)
    begin = time.perf_counter()
    market = Market(config.market.venue, config.market.category, "SERIES")
    prepared = prepare(config, [SymbolBars(market, bars)])
    panel, parts = prepared.panels[0], prepared.splits[0]
    ready = time.perf_counter()
    model, _ = learn(config, prepared, folder / "checkpoints")
    trained = time.perf_counter()
    asked = parts.test & (panel.time_ms % HOUR_MS == 0)
    forecast = forecast_panel(model, panel, asked)
    log_bars = np.log(panel.targets.bars_ahead)
    spent = time.perf_counter() - begin
    np.savez(
        folder / f"{OURS}.npz",
        origin_ms=panel.time_ms[asked],
        said=2 * np.log(forecast.volatility) - log_bars,
        base=panel.base[asked],
    )
    status = Path("/proc/self/status").read_text()
    print(
        json.dumps(
            {
                "seconds": round(spent, 1),
                "seconds_training": round(trained - ready, 1),
                "peak_mb": round(int(status.split("VmHWM:")[1].split()[0]) / 1_024),
                "parameters": model.network.num_parameters,
            }
        )
    )
