"""Every stage of the main job on a year of simulated five-minute bars: seconds, rows/s, peak memory."""

import json
import resource
import tempfile
import time
from pathlib import Path

from polyscale.base.forecasts import base_forecast, log_har
from polyscale.config.presets import preset
from polyscale.config.run_config import read_config
from polyscale.features.catalogue import CATALOGUE
from polyscale.features.feature import select
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.pipeline.judge import forecast_panel
from polyscale.pipeline.learn import learn, prepare
from polyscale.pipeline.load import SymbolBars
from polyscale.scales.ladder import build_scales
from polyscale.targets.targets import make_targets


def main() -> None:
    config = read_config(preset("btc_5m"))
    shares = config.split.model_validate({"train_share": 0.7, "validate_share": 0.15})
    training = config.training.model_copy(update={"epochs": 1})
    config = config.model_copy(update={"split": shares, "training": training})
    data = config.data
    bars = simulate_bars(SimulationSettings(days=365, seed=1))
    simulate_bars(SimulationSettings(days=1))
    rows: list[tuple[str, float, int]] = []

    def timed(name, num_rows, stage):
        begin = time.perf_counter()
        result = stage()
        rows.append((name, time.perf_counter() - begin, num_rows))
        return result

    count = bars.height
    scales = timed("scales", count, lambda: build_scales(bars, data.base, data.scales, data.max_fill))
    chosen = select(data.features, CATALOGUE)
    timed(
        "features, all scales",
        count,
        lambda: [chosen.compute(scale.bars, scale.settings.timeframe) for scale in scales],
    )
    grid = scales[0].bars
    targets = timed("targets", count, lambda: make_targets(grid, data.base, data.horizons))
    timed("base forecast", count, lambda: base_forecast(grid, data.base, targets, data.base_forecast))
    timed("reference log-HAR", count, lambda: log_har(grid, data.base, targets, data.base_forecast))
    symbol = SymbolBars(config.market.markets()[0], bars)
    prepared = timed("panel (all of these)", count, lambda: prepare(config, [symbol]))
    origins = int(prepared.splits[0].train.sum())
    with tempfile.TemporaryDirectory() as folder:
        model, _ = timed("training, one epoch", origins, lambda: learn(config, prepared, Path(folder)))
    usable = prepared.panels[0].usable
    timed("forecasts", int(usable.sum()), lambda: forecast_panel(model, prepared.panels[0], usable))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    print(f"{'stage':<24}{'seconds':>9}{'rows':>10}{'rows/s':>12}")
    for name, spent, num in rows:
        print(f"{name:<24}{spent:>9.2f}{num:>10,}{num / spent:>12,.0f}")
    figures = {name.split(",")[0].replace(" ", "_"): round(spent, 3) for name, spent, _ in rows}
    print(json.dumps({**figures, "peak_mb": round(peak_mb)}))


if __name__ == "__main__":
    main()
