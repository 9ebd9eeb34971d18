"""All bars of a year of one-minute data scored by the network of configs/full.yaml, one process, one thread.

Simulated bars go through the product's own panel; what is timed is `forecast.predict`: cutting stretches, the
network, and the Forecast in a person's units, at every origin of 365 days. Context before the year is not
scored. Features and base forecast are told apart.
"""

import json
import resource
import time

import numpy as np
import torch

from benchmarks.full_network import CONFIG, SPEC
from polyscale.dataset.panel import build_panel
from polyscale.dataset.scaling import fit_scaler
from polyscale.dataset.stretches import scale_panel
from polyscale.forecast.predict import predict
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.model.network import MultiScaleAttention
from polyscale.training.batches import Part

NUM_ORIGINS = 525_600
CONTEXT_DAYS = 30  # until the base forecast is fitted; the daily scale fills up on the way


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = CONFIG.data.model_copy(
        update={"scales": tuple(s.model_copy(update={"native_history": False}) for s in CONFIG.data.scales)}
    )
    days = 365 + CONTEXT_DAYS
    bars = simulate_bars(SimulationSettings(days=days, timeframe=Timeframe.parse("1m"), seed=1))
    begin = time.perf_counter()
    panel = build_panel("SIMULATED", bars, data)
    before = time.perf_counter() - begin
    scalers = tuple(fit_scaler([rows]) for rows in panel.features)
    origin = fit_scaler([panel.origin[panel.usable]])
    assert origin is not None
    scaled = scale_panel(panel, scalers, origin)
    counted = panel.usable & (np.arange(len(panel.usable)) >= len(panel.usable) - NUM_ORIGINS)
    network = MultiScaleAttention(SPEC).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    warm = np.zeros_like(counted)
    warm[-2_000:] = True
    predict(network, panel, Part([scaled], [warm], data))
    begin = time.perf_counter()
    forecast = predict(network, panel, Part([scaled], [counted], data))
    seconds = time.perf_counter() - begin
    found = len(forecast.close_time)
    assert found == NUM_ORIGINS, f"{NUM_ORIGINS:,} origins are wanted, {found:,} are usable"
    assert np.isfinite(forecast.quantiles).all()
    print(f"{network.num_parameters:,} parameters, one thread, peak {peak_mb():,.0f} MB")
    print(f"{'bars to features and base forecast':<40}{before:>9.1f} s")
    print(f"{f'forecasts at {found:,} origins':<40}{seconds:>9.1f} s{found / seconds:>12,.0f} origins/s")
    print(json.dumps({"seconds": round(seconds, 2), "origins_per_second": round(found / seconds)}))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


if __name__ == "__main__":
    main()
