"""The network of configs/full.yaml (the chapter's table) and random rows for it."""

import torch

from polyscale.config.presets import preset
from polyscale.config.run_config import read_config
from polyscale.model.network import NetworkInput
from polyscale.model.settings import NetworkSpec
from polyscale.pipeline.learn import spec_of

CONFIG = read_config(preset("full"))
SPEC = spec_of(CONFIG)
BARS = tuple(CONFIG.data.base.bars_in(scale.timeframe) for scale in CONFIG.data.scales)
HORIZONS = {str(h): CONFIG.data.base.bars_in(h) for h in CONFIG.data.horizons}


def random_stretch(spec: NetworkSpec, num_origins: int) -> NetworkInput:
    """So many origins of one-minute bars from midnight on, with the rows that they see."""
    origins = torch.arange(num_origins)
    aligned = torch.stack(
        [origins // bars + lookback - 1 for bars, lookback in zip(BARS, spec.lookbacks, strict=True)], -1
    )
    rows = [int(last) + 1 for last in aligned[-1]]
    return NetworkInput(
        rows=[torch.randn(1, n, len(names)) for n, names in zip(rows, spec.features, strict=True)],
        masks=[torch.ones(1, n, dtype=torch.bool) for n in rows],
        aligned=aligned[None],
        origin=torch.randn(1, num_origins, spec.num_origin_inputs),
        base=torch.randn(1, num_origins, len(spec.horizons)),
        context=tuple(lookback - 1 for lookback in spec.lookbacks),
    )
