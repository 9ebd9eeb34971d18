"""The contract of a forecast: per origin and horizon, immutable, NumPy.

Made by `polyscale.forecast`, read by strategy, evaluation and report; saved to Parquet with one column per
number, so that any tool can read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

Floats = NDArray[np.float64]
_ARRAYS = (
    "quantiles",
    "prob_up",
    "volatility",
    "expected_return",
    "base_volatility",
    "scale_weights",
    "cross_attention",
)


@dataclass(frozen=True, eq=False)
class Forecast:
    """What was said at each origin t, known at the close of base bar t.

    N origins, H horizons, Q quantile levels, S scales. Returns are log returns over the horizon; a
    volatility is the standard deviation of that return, ``sqrt(bars in h * mean variance per bar)``.
    """

    close_time: NDArray[np.datetime64]  # [N] UTC, ms
    horizons: tuple[Timeframe, ...]
    levels: tuple[float, ...]
    scales: tuple[str, ...]
    quantiles: Floats  # [N, H, Q] of the return, rising along Q
    prob_up: Floats  # [N, H] probability of a positive return
    volatility: Floats  # [N, H]
    expected_return: Floats  # [N, H]
    base_volatility: Floats  # [N, H] the base forecast, before the network
    scale_weights: Floats  # [N, S] rows sum to 1
    cross_attention: Floats  # [N, S, S] rows sum to 1: how much scale i read from scale j

    def __post_init__(self) -> None:
        n, h, q, s = len(self.close_time), len(self.horizons), len(self.levels), len(self.scales)
        shapes = {
            "quantiles": (n, h, q),
            "prob_up": (n, h),
            "volatility": (n, h),
            "expected_return": (n, h),
            "base_volatility": (n, h),
            "scale_weights": (n, s),
            "cross_attention": (n, s, s),
        }
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.shape != shape:
                raise DataError(f"forecast.{name} must have shape {shape}, got {values.shape}")
            if not np.isfinite(values).all():
                raise DataError(f"forecast.{name} must be finite, got {(~np.isfinite(values)).sum()} others")
            values.setflags(write=False)

    @classmethod
    def empty(
        cls, horizons: tuple[Timeframe, ...], levels: tuple[float, ...], scales: tuple[str, ...]
    ) -> Forecast:
        """A forecast at no origin: its frame has the columns and no rows."""
        h, q, s = len(horizons), len(levels), len(scales)
        none = np.empty((0, h))
        return cls(
            close_time=np.empty(0, "datetime64[ms]"),
            horizons=horizons,
            levels=levels,
            scales=scales,
            quantiles=np.empty((0, h, q)),
            prob_up=none,
            volatility=none.copy(),
            expected_return=none.copy(),
            base_volatility=none.copy(),
            scale_weights=np.empty((0, s)),
            cross_attention=np.empty((0, s, s)),
        )

    def __len__(self) -> int:
        return len(self.close_time)

    def horizon_index(self, horizon: Timeframe) -> int:
        """Position of a horizon; `DataError` if it was not forecast."""
        if horizon not in self.horizons:
            raise DataError(
                f"horizon {horizon} was not forecast; there are {[str(h) for h in self.horizons]}"
            )
        return self.horizons.index(horizon)

    @classmethod
    def concatenated(cls, parts: Sequence[Forecast]) -> Forecast:
        """Parts of one symbol's forecasts, one after the other."""
        names = ("close_time", *_ARRAYS)
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in names
        }
        return replace(parts[0], **joined)

    def with_volatility(self, volatility: Floats, quantiles: Floats) -> Forecast:
        """The same origins with another forecast's volatility and quantiles."""
        return replace(self, volatility=volatility, quantiles=quantiles)

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Forecast:
        """The forecasts of some origins."""
        kept = {name: getattr(self, name)[rows] for name in ("close_time", *_ARRAYS)}
        return replace(self, **kept)

    def to_frame(self) -> pl.DataFrame:
        """One row per origin, one column per number: ``volatility_1h``, ``q05_1h``, ``weight_5m`` ..."""
        time = pl.Series("close_time", self.close_time).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
        columns: dict[str, pl.Series | Floats] = {"close_time": time}
        for i, horizon in enumerate(self.horizons):
            for name in ("prob_up", "volatility", "expected_return", "base_volatility"):
                columns[f"{name}_{horizon}"] = getattr(self, name)[:, i]
            for k, level in enumerate(self.levels):
                columns[f"q{100 * level:04.1f}_{horizon}"] = self.quantiles[:, i, k]
        for i, scale in enumerate(self.scales):
            columns[f"weight_{scale}"] = self.scale_weights[:, i]
            for j, other in enumerate(self.scales):
                columns[f"attention_{scale}_to_{other}"] = self.cross_attention[:, i, j]
        return pl.DataFrame(columns)

    def write_parquet(self, path: Path) -> None:
        """Write the frame, with horizons, levels and scales in the file's metadata."""
        metadata = {
            "horizons": ",".join(str(h) for h in self.horizons),
            "levels": ",".join(repr(level) for level in self.levels),
            "scales": ",".join(self.scales),
        }
        self.to_frame().write_parquet(path, metadata=metadata)

    @classmethod
    def read_parquet(cls, path: Path) -> Forecast:
        """Read what `write_parquet` wrote."""
        metadata = pl.read_parquet_metadata(path)
        try:
            horizons = tuple(Timeframe.parse(text) for text in metadata["horizons"].split(","))
            levels = tuple(float(text) for text in metadata["levels"].split(","))
            scales = tuple(metadata["scales"].split(","))
        except KeyError as error:
            raise DataError(f"{path}: no forecast of polyscale: its metadata lacks {error}") from error
        frame = pl.read_parquet(path)

        def column(name: str) -> Floats:
            return frame[name].to_numpy()

        def per_horizon(name: str) -> Floats:
            return np.stack([column(f"{name}_{h}") for h in horizons], axis=1)

        quantiles = [[column(f"q{100 * q:04.1f}_{h}") for q in levels] for h in horizons]
        attention = [[column(f"attention_{s}_to_{other}") for other in scales] for s in scales]
        return cls(
            close_time=frame["close_time"].dt.replace_time_zone(None).to_numpy(),
            horizons=horizons,
            levels=levels,
            scales=scales,
            quantiles=np.array(quantiles).transpose(2, 0, 1),
            prob_up=per_horizon("prob_up"),
            volatility=per_horizon("volatility"),
            expected_return=per_horizon("expected_return"),
            base_volatility=per_horizon("base_volatility"),
            scale_weights=np.stack([column(f"weight_{s}") for s in scales], axis=1),
            cross_attention=np.array(attention).transpose(2, 0, 1),
        )
