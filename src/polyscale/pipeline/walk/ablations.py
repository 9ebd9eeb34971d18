"""What is taken away from the network to see what it was worth.

In: a config. Out: its variants by name; each is trained and tested like the whole.
"""

from __future__ import annotations

from polyscale.base.settings import Kind
from polyscale.config.run_config import RunConfig
from polyscale.scales.settings import Source


def ablations(config: RunConfig) -> dict[str, RunConfig]:
    """Without each scale but the base, attention across scales, the gate, bands, or the base forecast.

    And each horizon alone.
    """
    variants = {
        f"without scale {scale.name}": _without_scales(config, {j})
        for j, scale in enumerate(config.data.scales)
        if j > 0
    }
    if len(config.data.scales) > 1:
        variants["without attention across scales"] = _network(config, cross_scale=False)
        variants["without the gate"] = _network(config, gate=False)
    bands = {j for j, scale in enumerate(config.data.scales) if scale.source is not Source.RESAMPLE}
    if bands:
        variants["without decompositions"] = _without_scales(config, bands)
    day = config.data.base_forecast.model_copy(update={"kind": Kind.DAY})
    variants["without the base forecast"] = _data(config, base_forecast=day)
    if len(config.data.horizons) > 1:
        variants |= {
            f"horizon {horizon} alone": _data(config, horizons=(horizon,)) for horizon in config.data.horizons
        }
    return variants


def _without_scales(config: RunConfig, left_out: set[int]) -> RunConfig:
    kept = [j for j in range(len(config.data.scales)) if j not in left_out]
    smaller = _data(config, scales=tuple(config.data.scales[j] for j in kept))
    return _network(smaller, encoders=tuple(config.network.encoders[j] for j in kept))


def _data(config: RunConfig, **changes: object) -> RunConfig:
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def _network(config: RunConfig, **changes: object) -> RunConfig:
    return config.model_copy(update={"network": config.network.model_copy(update=changes)})
