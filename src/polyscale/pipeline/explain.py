"""Why a run forecasts what it does: importance of scales, what happens without them, whether both agree.

In: a trained run and its bars. Out: an `Explanation` per symbol, over the origins of the test. Scales are
left out at all of them; features, of which there are many, at runs of origins spread over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from polyscale.config.run_config import RunConfig
from polyscale.dataset.panel import Panel
from polyscale.dataset.stretches import ScaledPanel
from polyscale.evaluation.importance import (
    Effect,
    RankCorrelation,
    effects,
    mean_rank_correlation,
    rank_correlation,
)
from polyscale.forecast.maps import maps_at
from polyscale.forecast.occlusion import (
    log_variances,
    thinned,
    without_feature,
    without_origin_inputs,
    without_scale,
)
from polyscale.forecast.predict import predict
from polyscale.market.errors import HistoryError
from polyscale.market.instant import ms_of, shown
from polyscale.model.maps import AttentionMaps
from polyscale.pipeline.judge import part_of
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.run import Observer, Run, again
from polyscale.training.batches import Part
from polyscale.training.model_file import Model

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
FEATURE_ORIGINS: Final = 4_096  # enough for the order of the features
_RUN_LENGTH: Final = 1_024  # origins side by side share their work


@dataclass(frozen=True)
class ScaleEffect:
    """A scale: its mean reported importance, and the forecast without all its rows, per horizon."""

    scale: str
    importance: float
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class FeatureEffect:
    """The forecast with one feature of one scale at its training median, per horizon."""

    scale: str
    feature: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Faithfulness:
    """Rank correlations of importance with the effect of leaving out, both averaged over horizons."""

    shift: RankCorrelation  # mean importance, mean shift: as many numbers as there are scales
    qlike: RankCorrelation  # mean importance, mean loss without the scale
    per_origin_shift: float | None  # importance and shift of each origin, averaged over origins


@dataclass(frozen=True)
class Explanation:
    """One symbol, over the origins of its test."""

    symbol: str
    horizons: tuple[str, ...]
    num_origins: int
    num_feature_origins: int
    scales: tuple[ScaleEffect, ...]
    origin_inputs: tuple[Effect, ...]  # clock, ages and volatilities of the origin at their medians
    features: tuple[FeatureEffect, ...]  # of every scale, the largest mean shift first
    faithfulness: Faithfulness

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts, lists and numbers, for JSON."""
        return asdict(self)


def explain_run(
    run: Run, symbols: list[SymbolBars], observer: Observer, feature_origins: int = FEATURE_ORIGINS
) -> list[Explanation]:
    """Explain every symbol that has a test.

    Parameters
    ----------
    symbols
        What the run was made from.
    feature_origins
        At about how many origins every feature is occluded.
    """
    observer.stage("the panels of the run again")
    prepared = again(run, symbols)
    found = []
    for panel, part in zip(prepared.panels, prepared.splits, strict=True):
        if part.test.any():
            observer.stage(f"{panel.symbol}: the test's forecasts without scales and features")
            found.append(
                explain_panel(
                    run.config, run.model, panel, part.test, feature_origins, prepared.beside(panel)
                )
            )
    return found


def explain_panel(
    config: RunConfig,
    model: Model,
    panel: Panel,
    origins: Bools,
    feature_origins: int = FEATURE_ORIGINS,
    others: Sequence[Panel] = (),
) -> Explanation:
    """Explain the forecasts at some origins [T] of one panel.

    Parameters
    ----------
    others
        Panels of the other symbols, for a network that attends to them; of these nothing is taken away.
    """
    spec, part = model.network.spec, part_of(model, panel, origins, others)
    scaled = part.panels[0]
    forecast = predict(model.network, panel, part)
    whole = _Occluder(config, model, panel, part)
    runs = thinned(origins, feature_origins, _RUN_LENGTH)
    some = _Occluder(config, model, panel, replace(part, counted=[runs, *part.counted[1:]]))
    without = [whole.forecast(without_scale(scaled, j)) for j in range(len(spec.scales))]
    scales = tuple(
        ScaleEffect(name, float(weight), whole.effects(changed))
        for name, weight, changed in zip(
            spec.scales, forecast.scale_weights.mean(axis=0), without, strict=True
        )
    )
    features = [
        FeatureEffect(name, feature, some.effects(some.forecast(without_feature(scaled, j, k))))
        for j, (name, names) in enumerate(zip(spec.scales, spec.features, strict=True))
        for k, feature in enumerate(names)
    ]
    shifts = np.stack([0.5 * np.abs(changed - whole.known).mean(axis=1) for changed in without], axis=1)
    return Explanation(
        symbol=panel.symbol,
        horizons=spec.horizons,
        num_origins=int(origins.sum()),
        num_feature_origins=int(runs.sum()),
        scales=scales,
        origin_inputs=whole.effects(whole.forecast(without_origin_inputs(scaled))),
        features=tuple(sorted(features, key=lambda found: -mean_shift(found.effects))),
        faithfulness=_faithfulness(scales, forecast.scale_weights, shifts),
    )


def attention_maps(run: Run, symbols: list[SymbolBars], symbol: str, at: Sequence[datetime]) -> AttentionMaps:
    """What a run looked at when it forecast at the given closes of base bars (timezone-aware).

    Raises
    ------
    HistoryError
        If there is no forecast at one of them.
    """
    prepared = again(run, symbols)
    panels = {panel.symbol: panel for panel in prepared.panels}
    if symbol not in panels:
        raise HistoryError(f"the run must hold the symbol asked for, got {symbol}; it has {list(panels)}")
    panel = panels[symbol]
    usable = {int(panel.time_ms[row]): int(row) for row in np.flatnonzero(panel.usable)}
    lacking = [shown(ms_of(time)) for time in at if ms_of(time) not in usable]
    if lacking or not at:
        first, last = shown(min(usable)), shown(max(usable))
        raise HistoryError(
            f"{symbol}: maps need closes of base bars with a forecast, {first} .. {last}, "
            f"got {lacking or 'none'}"
        )
    rows = [usable[ms_of(time)] for time in at]
    return maps_at(run.model.network, part_of(run.model, panel, panel.usable, prepared.beside(panel)), rows)


def mean_shift(found: tuple[Effect, ...]) -> float:
    """Mean over horizons."""
    return float(np.mean([effect.shift for effect in found]))


def mean_qlike(found: tuple[Effect, ...]) -> float | None:
    """Mean over the horizons with labels, None where there is none."""
    known = [effect.qlike.mean for effect in found if effect.qlike is not None]
    return float(np.mean(known)) if known else None


class _Occluder:
    """Forecasts of one panel at the same origins, each time with another part of the input taken away."""

    def __init__(self, config: RunConfig, model: Model, panel: Panel, part: Part) -> None:
        self.config, self.model, self.part = config, model, part
        self.ahead = tuple(int(bars) for bars in panel.targets.bars_ahead)
        self.realised = panel.targets.log_variance[part.counted[0]].astype(np.float64)
        self.known = self.forecast(part.panels[0])

    def forecast(self, scaled: ScaledPanel) -> Floats:
        changed = replace(self.part, panels=[scaled, *self.part.panels[1:]])
        return log_variances(self.model.network, changed)

    def effects(self, without: Floats) -> tuple[Effect, ...]:
        return effects(self.known, without, self.realised, self.ahead, self.config.evaluation)


def _faithfulness(scales: tuple[ScaleEffect, ...], weights: Floats, shifts: Floats) -> Faithfulness:
    importance = np.array([scale.importance for scale in scales])
    losses = [mean_qlike(scale.effects) for scale in scales]
    known = [loss for loss in losses if loss is not None]
    return Faithfulness(
        shift=rank_correlation(importance, np.array([mean_shift(scale.effects) for scale in scales])),
        qlike=rank_correlation(importance, np.array(known))
        if len(known) == len(scales)
        else RankCorrelation(None, len(scales), None, "no label of the test is known"),
        per_origin_shift=mean_rank_correlation(weights, shifts),
    )
