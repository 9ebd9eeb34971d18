"""From bars to a trained model: panels, split, frozen scalers, training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyscale.config.run_config import RunConfig
from polyscale.dataset.inputs import features_of
from polyscale.dataset.panel import Panel, build_panel, num_origin_inputs, panel_of_any_length
from polyscale.dataset.scaling import Scaler, fit_scaler
from polyscale.dataset.settings import DataSettings
from polyscale.dataset.split import Boundaries, Split, boundaries, check_parts, split
from polyscale.market.errors import HistoryError
from polyscale.market.instant import ms_of
from polyscale.market.timeframe import DAY_MS
from polyscale.model.settings import NetworkSpec
from polyscale.pipeline.load import SymbolBars, beside, context_of
from polyscale.training.batches import Part
from polyscale.training.model_file import Model, ModelFacts, probes
from polyscale.training.progress import EpochReport, Progress

Bools = NDArray[np.bool_]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Every stage below the network, computed once per bar, and which origins belong to which part."""

    panels: list[Panel]
    splits: list[Split]
    ends: Boundaries

    def beside(self, panel: Panel) -> list[Panel]:
        """The panels of the other symbols."""
        return [other for other in self.panels if other is not panel]


def prepare(config: RunConfig, symbols: list[SymbolBars]) -> Prepared:
    """Compute the panels and split their origins."""
    panels = [panel_of(item, symbols, config) for item in symbols]
    ends = boundaries([p for p, item in zip(panels, symbols, strict=True) if not item.lesson], config.split)
    splits = splits_of(symbols, panels, lambda panel: split(panel, ends))
    check_parts(panels, splits, ends)
    return Prepared(panels, splits, ends)


def splits_of(
    symbols: Sequence[SymbolBars], panels: Sequence[Panel], parts: Callable[[Panel], Split]
) -> list[Split]:
    """Which origins belong to which part; symbols that are learned from and no more have training alone."""
    found = []
    for item, panel in zip(symbols, panels, strict=True):
        part, none = parts(panel), np.zeros(len(panel.time_ms), dtype=bool)
        found.append(replace(part, validate=none, test=none) if item.lesson else part)
    return found


def panel_of(item: SymbolBars, symbols: Sequence[SymbolBars], config: RunConfig) -> Panel:
    """Every stage below the network of one symbol; the other symbols are its market."""
    return build_panel(item.symbol, item.bars, config.data, item.native, context_of(item, symbols))


def panels_beside(item: SymbolBars, symbols: Sequence[SymbolBars], config: RunConfig) -> list[Panel]:
    """What a network that attends across symbols reads of the others; none if it does not.

    Nothing is forecast for them here, so their base forecasts are left out, and their history may be short.
    """
    if not config.network.across_symbols:
        return []
    return [
        panel_of_any_length(
            other.symbol,
            other.bars,
            config.data,
            other.native,
            context_of(other, symbols),
            since_ms=ms_of(other.bars["close_time"][-1]) + DAY_MS,
        )
        for other in beside(item, symbols)
        if other.bars.height
    ]


def learn(
    config: RunConfig,
    prepared: Prepared,
    checkpoints: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[Model, list[EpochReport]]:
    """Fit the frozen scalers and the network on training origins; validation chooses when to stop."""
    from polyscale.training.fit import fit  # Lightning takes seconds to load, and only training needs it

    feature_scalers, origin_scaler = fit_scalers(prepared, config.data)
    tell_short_scales(prepared, config.data)
    spec = spec_of(config)
    facts = ModelFacts(
        spec=spec,
        data=config.data,
        feature_scalers=feature_scalers,
        origin_scaler=origin_scaler,
        probes=probes(config.data),
    )
    scaled = [facts.scale(panel) for panel in prepared.panels]
    network, history = fit(
        Part(scaled, [part.train for part in prepared.splits], config.data),
        Part(scaled, [part.validate for part in prepared.splits], config.data),
        spec,
        config.training,
        config.seed,
        checkpoints,
        resume=resume,
        progress=progress,
    )
    return Model(network, facts), history


def spec_of(config: RunConfig) -> NetworkSpec:
    """The network that a run's config asks for."""
    data = config.data
    return NetworkSpec(
        settings=config.network,
        scales=tuple(scale.name for scale in data.scales),
        lookbacks=tuple(scale.lookback for scale in data.scales),
        features=tuple(tuple(features_of(data, scale).names) for scale in data.scales),
        num_origin_inputs=num_origin_inputs(data),
        horizons=tuple(str(horizon) for horizon in data.horizons),
        levels=config.levels,
    )


def fit_scalers(prepared: Prepared, data: DataSettings) -> tuple[tuple[Scaler | None, ...], Scaler]:
    """One scaler per scale, over the rows that training origins know, and one for the origins' inputs."""
    pairs = list(zip(prepared.panels, prepared.splits, strict=True))
    per_scale = tuple(
        fit_scaler([panel.features[j][_known_rows(panel, part.train, j)] for panel, part in pairs])
        for j in range(len(data.scales))
    )
    origin = fit_scaler([panel.origin[part.train] for panel, part in pairs])
    if per_scale[0] is None or origin is None:
        raise HistoryError(
            "training needs at least 1 origin whose base scale is warm, found 0; import more history"
        )
    return per_scale, origin


def tell_short_scales(prepared: Prepared, data: DataSettings) -> None:
    """Say which scales are never warm in training, or less than their lookback: rows needed and found."""
    pairs = list(zip(prepared.panels, prepared.splits, strict=True))
    for j in range(len(data.scales)):
        _tell_if_short(data, pairs, j)


def _tell_if_short(data: DataSettings, pairs: Sequence[tuple[Panel, Split]], j: int) -> None:
    scale = data.scales[j]
    known = [panel.warm[j][: int(panel.index[part.train, j].max(initial=-1)) + 1] for panel, part in pairs]
    warm, bars = max(int(rows.sum()) for rows in known), max(map(len, known))
    needed = features_of(data, scale).warm_up(scale.timeframe)
    native = "" if j == 0 else f", or native bars of {scale.timeframe} and set native_history of that scale"
    if warm == 0:
        logger.warning(
            "scale %s has no warm row in training and takes no part in this run: its features need %d closed "
            "bars of %s, training has %d; import more history%s",
            *(scale.name, needed, scale.timeframe, bars, native),
        )
    elif warm < scale.lookback:
        logger.warning(
            "scale %s looks back %d bars, training has at most %d warm ones (%d bars, of which features need "
            "%d): older rows are masked; import more history%s",
            *(scale.name, scale.lookback, warm, bars, needed, native),
        )


def _known_rows(panel: Panel, train: Bools, scale: int) -> NDArray[np.int64]:
    """Rows of a scale known at some training origin, each once."""
    rows = np.unique(panel.index[train, scale])
    return rows[rows >= 0]
