"""One symbol's chain, bars to forecasts, as a function of bars and sources: what an audit can cut and wreck.

In: a trained run, bars, and what features may know beside them. Out: one row per traded bar with every
input of the origin (the features that it knows of every scale, its own inputs, the base forecast) and the
forecast made there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.dataset.panel import Panel, panel_of_any_length
from polyscale.features.context import Context
from polyscale.market.forecast import Forecast
from polyscale.market.instant import ms_of
from polyscale.pipeline.judge import forecast_panel
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.run import Run

FORECAST: Final = "forecast "  # names of the columns that the network gave begin with it
_NATIVE: Final = "native_"


class Chain:
    """The stages of a trained run for one symbol; the others are its market."""

    def __init__(self, run: Run, item: SymbolBars, symbols: list[SymbolBars]) -> None:
        self._run, self._item = run, item
        self._others = [other.symbol for other in symbols if other is not item]
        self.sources: dict[str, pl.DataFrame] = {
            **{f"{_NATIVE}{timeframe}": frame for timeframe, frame in item.native.items()},
            **({} if item.funding is None else {"funding": item.funding}),
            **{other.symbol: other.bars for other in symbols if other is not item},
        }

    def panel(
        self, bars: pl.DataFrame, sources: Mapping[str, pl.DataFrame], since_ms: int | None = None
    ) -> Panel:
        """Every stage below the network; base forecasts from a day on."""
        native = {timeframe: sources[f"{_NATIVE}{timeframe}"] for timeframe in self._item.native}
        context = Context(sources.get("funding"), {symbol: sources[symbol] for symbol in self._others})
        return panel_of_any_length(self._item.symbol, bars, self._run.config.data, native, context, since_ms)

    def rows(self, bars: pl.DataFrame, **sources: pl.DataFrame) -> pl.DataFrame:
        """All rows: the batch."""
        panel = self.panel(bars, sources)
        return self._join(panel, panel.traded, panel.usable)

    def newest(self, bars: pl.DataFrame, since: datetime, **sources: pl.DataFrame) -> pl.DataFrame:
        """Rows after an instant alone: what one computes live."""
        panel = self.panel(bars, sources, ms_of(since))
        late = (panel.bars["close_time"].dt.cast_time_unit("us") > since).to_numpy()
        return self._join(panel, panel.traded & late, panel.usable & late)

    def _join(self, panel: Panel, kept: NDArray[np.bool_], origins: NDArray[np.bool_]) -> pl.DataFrame:
        """Inputs of the rows that are kept, and forecasts where they can be made."""
        data = self._run.config.data
        names = [
            f"{s.name} {f}"
            for s, fs in zip(data.scales, self._run.model.facts.spec.features, strict=True)
            for f in fs
        ]
        names += [f"origin {k}" for k in range(panel.origin.shape[1])]
        names += [f"base {horizon}" for horizon in data.horizons] + ["sigma"]
        known = [_known(rows, panel.index[kept, j]) for j, rows in enumerate(panel.features)]
        own = [panel.origin[kept], panel.base[kept], panel.targets.sigma[kept, None]]
        table = pl.DataFrame(np.column_stack([*known, *own]), schema=names)
        rows = panel.bars.select("close_time").filter(kept).hstack(table)
        forecast = self._forecast(panel, origins).to_frame()
        named = forecast.rename({name: f"{FORECAST}{name}" for name in forecast.columns[1:]})
        return rows.join(named, on="close_time", how="left", maintain_order="left")

    def _forecast(self, panel: Panel, origins: NDArray[np.bool_]) -> Forecast:
        if origins.any():
            return forecast_panel(self._run.model, panel, origins)
        spec = self._run.model.facts.spec
        return Forecast.empty(self._run.config.data.horizons, spec.levels, spec.scales)


def _known(rows: NDArray[np.float64], index: NDArray[np.int64]) -> NDArray[np.float64]:
    """The row of a scale that each origin knows, NaN where it knows none."""
    if len(rows) == 0:
        return np.full((len(index), rows.shape[1]), np.nan)
    return np.where(index[:, None] >= 0, rows[np.maximum(index, 0)], np.nan)
