"""``onnx.json``: what one needs to serve the exported graphs without polyscale.

In: what model.json says, and the graphs. Out: plain JSON: what to feed, in which order and unit, under which
frozen scalers, and what comes out.
"""

from __future__ import annotations

from typing import Any, Final

from polyscale.dataset.inputs import features_of
from polyscale.dataset.panel import origin_columns
from polyscale.dataset.scaling import CLIP, Scaler
from polyscale.dataset.settings import DataSettings
from polyscale.forecast.graphs import Named, StepGraph, WindowGraph
from polyscale.scales.settings import ScaleSettings
from polyscale.training.model_file import ModelFacts

_FORMAT: Final = 1

_RULES: Final = {
    "batch": "the first axis of every tensor, of any size >= 1",
    "scaling": "scaled = (raw - median) / spread, cut at -clip and clip, as float32; of features and origin",
    "rows": "scaled features of closed bars, oldest first; the last is the newest bar closed by the origin",
    "mask": "true where every feature of the row is known; what a masked row holds does not matter",
    "absent": "a scale whose newest row is masked takes no part; where no scale does, drop the forecast",
    "origin": "scaled inputs of the time of the forecast, all of them known",
    "base": "per horizon: the base forecast, log of the mean variance of a base bar's return; not scaled",
    "step": "one new base bar: feed the new_state.* of the last step as state.*, zeros and false before the "
    "first; closed says of which scales a bar closed now (the first scale's always); a scale that did not "
    "close keeps its state, and its row is not read",
}
_OUTPUTS: Final = {
    "log_variance": (
        "[batch, horizon]",
        "log of the mean variance of a base bar's log return over the horizon",
    ),
    "quantiles": (
        "[batch, horizon, level]",
        "of the log return over the horizon, in units of the volatility",
    ),
    "up_logit": ("[batch, horizon]", "probability of a positive return = 1 / (1 + exp(-up_logit))"),
    "scale_weights": ("[batch, scale]", "weight that each scale had in the forecast; sums to 1"),
    "cross_attention": ("[batch, scale, scale]", "how much each scale asked each other; rows sum to 1"),
}
_UNITS: Final = {
    "volatility": "exp(log_variance / 2) * sqrt(bars), bars as given with the horizon",
    "return_quantiles": "quantiles * volatility",
}


def onnx_facts(facts: ModelFacts, window: WindowGraph, step: StepGraph) -> dict[str, Any]:
    """All of it."""
    spec, data = facts.spec, facts.data
    pairs = zip(data.scales, facts.feature_scalers, strict=True)
    return {
        "format": _FORMAT,
        "rules": _RULES,
        "base_timeframe": str(data.base),
        "scales": [_scale(data, scale, scaler) for scale, scaler in pairs],
        "origin": {"columns": origin_columns(data), **_scaler(facts.origin_scaler)},
        "clip": CLIP,
        "horizons": [{"name": str(h), "bars": data.base.bars_in(h)} for h in data.horizons],
        "levels": spec.levels,
        "outputs": {name: {"shape": shape, "is": what} for name, (shape, what) in _OUTPUTS.items()},
        "units": _UNITS,
        "window": {"file": "window.onnx", "inputs": _tensors(window.inputs), "outputs": window.outputs},
        "step": {
            "file": "step.onnx",
            "inputs": _tensors(step.inputs),
            "outputs": step.outputs,
            "state": {named.name: f"new_{named.name}" for named in step.state},
        },
    }


def _scale(data: DataSettings, scale: ScaleSettings, scaler: Scaler | None) -> dict[str, Any]:
    """One scale; without a scaler it was never warm in training, and its rows must all be masked."""
    return {
        "name": scale.name,
        "timeframe": str(scale.timeframe),
        "source": scale.source.value,
        "lookback": scale.lookback,
        "features": {feature.name: feature.meaning for feature in features_of(data, scale).features},
        "known": scaler is not None,
        **_scaler(scaler),
    }


def _scaler(scaler: Scaler | None) -> dict[str, Any]:
    if scaler is None:
        return {"median": None, "spread": None}
    return {"median": scaler.median, "spread": scaler.spread}


def _tensors(inputs: list[Named]) -> list[dict[str, Any]]:
    return [
        {"name": n.name, "shape": ["batch", *n.shape], "type": "bool" if n.is_mask else "float32"}
        for n in inputs
    ]
