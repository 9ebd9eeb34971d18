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

from polyscale.dataset.panel import Panel, memory_bars, panel_of_any_length
from polyscale.market.forecast import Forecast
from polyscale.market.instant import ms_of
from polyscale.pipeline.judge import forecast_panel
from polyscale.pipeline.learn import panels_beside
from polyscale.pipeline.load import SymbolBars, beside, context_of
from polyscale.pipeline.run import Run

FORECAST: Final = "forecast "  # names of the columns that the network gave begin with it
_NATIVE: Final = "native_"
_FUNDING: Final = "funding"


class Chain:
    """The stages of a trained run for one symbol; the others are its market.

    Their bars are sources; where the network attends across symbols, so is all else that it reads of them.
    """

    def __init__(self, run: Run, item: SymbolBars, symbols: list[SymbolBars]) -> None:
        self._run, self._item = run, item
        self._others = beside(item, symbols)
        self._memory = memory_bars(run.config.data)
        self.sources: dict[str, pl.DataFrame] = {
            **_beside_bars(item, ""),
            **{other.symbol: other.bars for other in self._others},
        }
        if run.config.network.across_symbols:
            for other in self._others:
                self.sources |= _beside_bars(other, f"{other.symbol} ")

    def panel(
        self, bars: pl.DataFrame, sources: Mapping[str, pl.DataFrame], since_ms: int | None = None
    ) -> Panel:
        """Every stage below the network; base forecasts from a day on."""
        item, symbols = self._items(bars, sources)
        context = context_of(item, symbols)
        return panel_of_any_length(item.symbol, bars, self._run.config.data, item.native, context, since_ms)

    def beside(self, bars: pl.DataFrame, sources: Mapping[str, pl.DataFrame]) -> list[Panel]:
        """Panels of the other symbols, if the network attends to them."""
        return panels_beside(*self._items(bars, sources), self._run.config)

    def rows(self, bars: pl.DataFrame, **sources: pl.DataFrame) -> pl.DataFrame:
        """All rows: the batch."""
        panel = self.panel(bars, sources)
        return self._join(panel, panel.traded, panel.usable, self.beside(bars, sources))

    def newest(self, bars: pl.DataFrame, since: datetime, **sources: pl.DataFrame) -> pl.DataFrame:
        """Rows after an instant alone: what one computes live."""
        panel = self.panel(bars, sources, ms_of(since))
        late = (panel.bars["close_time"].dt.cast_time_unit("us") > since).to_numpy()
        recent = sources | {o.symbol: self._recent(sources[o.symbol], since) for o in self._others}
        return self._join(panel, panel.traded & late, panel.usable & late, self.beside(bars, recent))

    def _items(
        self, bars: pl.DataFrame, sources: Mapping[str, pl.DataFrame]
    ) -> tuple[SymbolBars, list[SymbolBars]]:
        """The symbol, and all of them, of what is given now."""
        item = _given(self._item, bars, sources, "")
        others = [_given(other, sources[other.symbol], sources, f"{other.symbol} ") for other in self._others]
        return item, [item, *others]

    def _recent(self, bars: pl.DataFrame, since: datetime) -> pl.DataFrame:
        """As much of another symbol's past as rows after an instant depend on."""
        known = int((bars["close_time"].dt.cast_time_unit("us") <= since).sum())
        return bars.slice(max(0, known - self._memory))

    def _join(
        self, panel: Panel, kept: NDArray[np.bool_], origins: NDArray[np.bool_], others: list[Panel]
    ) -> pl.DataFrame:
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
        forecast = self._forecast(panel, origins, others).to_frame()
        named = forecast.rename({name: f"{FORECAST}{name}" for name in forecast.columns[1:]})
        return rows.join(named, on="close_time", how="left", maintain_order="left")

    def _forecast(self, panel: Panel, origins: NDArray[np.bool_], others: list[Panel]) -> Forecast:
        if origins.any():
            return forecast_panel(self._run.model, panel, origins, others)
        spec = self._run.model.facts.spec
        return Forecast.empty(self._run.config.data.horizons, spec.levels, spec.scales)


def _beside_bars(item: SymbolBars, prefix: str) -> dict[str, pl.DataFrame]:
    """What there is of a symbol beside its base bars, by the name of the source."""
    named = {f"{prefix}{_NATIVE}{timeframe}": frame for timeframe, frame in item.native.items()}
    return named if item.funding is None else {**named, f"{prefix}{_FUNDING}": item.funding}


def _given(
    item: SymbolBars, bars: pl.DataFrame, sources: Mapping[str, pl.DataFrame], prefix: str
) -> SymbolBars:
    """A symbol made of sources; what is no source is absent."""
    names = {timeframe: f"{prefix}{_NATIVE}{timeframe}" for timeframe in item.native}
    native = {timeframe: sources[name] for timeframe, name in names.items() if name in sources}
    return SymbolBars(item.market, bars, native, sources.get(f"{prefix}{_FUNDING}"), rules=item.rules)


def _known(rows: NDArray[np.float64], index: NDArray[np.int64]) -> NDArray[np.float64]:
    """The row of a scale that each origin knows, NaN where it knows none."""
    if len(rows) == 0:
        return np.full((len(index), rows.shape[1]), np.nan)
    return np.where(index[:, None] >= 0, rows[np.maximum(index, 0)], np.nan)
