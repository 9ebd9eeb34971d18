"""One symbol as arrays: everything that is computed once per bar, on one page.

In: base bars and the data settings. Out: a `Panel`: raw features of every scale's rows, the alignment, the
origin's inputs, the base forecast and the labels. Windows are never made: a sample is a range of rows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.base.forecasts import base_forecast
from polyscale.base.regressors import har_regressors, span_bars
from polyscale.base.surprises import DAYS_BACK, SURPRISES, surprises
from polyscale.dataset.inputs import features_of
from polyscale.dataset.settings import DataSettings
from polyscale.features.clock import SEASON_COLUMNS, season
from polyscale.features.context import Context, add_context, market_level
from polyscale.features.feature import FeatureSet, compute_scales
from polyscale.market.errors import HistoryError
from polyscale.market.timeframe import DAY_MS, Timeframe
from polyscale.scales.align import age, align
from polyscale.scales.ladder import ScaleBars, build_scales
from polyscale.targets.targets import Targets, make_targets

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Panel:
    """T base rows (origins), S scales with T_s rows each, F features, O origin inputs, H horizons."""

    symbol: str
    bars: pl.DataFrame  # base bars on their grid
    traded: Bools  # [T] whether there was a bar, and not one that was filled in
    time_ms: Ints  # [T] origins
    features: tuple[Floats, ...]  # S x [T_s, F_s], NaN where not warm
    warm: tuple[Bools, ...]  # S x [T_s] whether all features are there
    index: Ints  # [T, S] row of each scale known at each origin, -1 where none
    origin: Floats  # [T, O] inputs of the origin, NaN where unknown
    base: Floats  # [T, H] log mean variance per base bar, NaN where not fitted
    targets: Targets

    @property
    def usable(self) -> Bools:
        """[T] whether a forecast can be made: a bar closed, its scale is warm, all else is known."""
        return (
            self.traded
            & self.warm[0]
            & np.isfinite(self.base).all(axis=1)
            & np.isfinite(self.origin).all(axis=1)
        )


def build_panel(
    symbol: str,
    bars: pl.DataFrame,
    settings: DataSettings,
    native: Mapping[Timeframe, pl.DataFrame] | None = None,
    context: Context | None = None,
    since_ms: int | None = None,
) -> Panel:
    """Compute every stage of one symbol, once per bar; known when: each row at its own close.

    Parameters
    ----------
    native
        Stored bars by timeframe, for scales with ``native_history``.
    context
        Funding and other symbols' bars, for features that look at them.
    since_ms
        No forecast is wanted at earlier origins: they are not usable, and cost nothing. Absent for all.

    Raises
    ------
    HistoryError
        If there are too few base bars for one forecast; it says how many are needed and found.
    """
    panel = panel_of_any_length(symbol, bars, settings, native, context, since_ms)
    _check_history(panel, settings)
    _log_masked(panel)
    return panel


def panel_of_any_length(
    symbol: str,
    bars: pl.DataFrame,
    settings: DataSettings,
    native: Mapping[Timeframe, pl.DataFrame] | None = None,
    context: Context | None = None,
    since_ms: int | None = None,
) -> Panel:
    """`build_panel` without its demand for a usable origin."""
    base = settings.base
    scales = build_scales(bars, base, settings.scales, settings.max_fill, native)
    sets = [features_of(settings, scale.settings) for scale in scales]
    known = context or Context()
    level = market_level(known.others, base, settings.max_fill)
    features = _feature_rows(sets, scales, known.funding, level)
    grid = scales[0].bars
    time_ms = grid["close_time"].dt.epoch("ms").to_numpy()
    targets = make_targets(grid, base, settings.horizons)
    base_log_variance = base_forecast(
        grid, base, targets, settings.base_forecast, _fitted_from(time_ms, since_ms)
    )
    surprised = surprises(targets.log_variance, base_log_variance, targets.bars_ahead, base)
    if since_ms is not None:
        base_log_variance[time_ms < since_ms] = np.nan
    index, ages = _alignment(scales, time_ms)
    return Panel(
        symbol=symbol,
        bars=grid,
        traded=grid["close_time"].is_in(bars["close_time"].implode()).to_numpy(),
        time_ms=time_ms,
        features=features,
        warm=tuple(np.asarray(np.isfinite(rows).all(axis=1)) for rows in features),
        index=index,
        origin=np.column_stack(
            [season(time_ms), ages, _volatility_state(grid, base, targets, base_log_variance), surprised]
        ),
        base=base_log_variance,
        targets=targets,
    )


def memory_bars(settings: DataSettings) -> int:
    """Base bars on which a forecast at the newest of them depends, if none is missing."""
    day = DAY_MS // settings.base.ms
    longest = settings.base.bars_in(settings.horizons[-1])
    fitted = settings.base_forecast.window_days + 8  # at midnight, on rows a week warm
    base = (fitted + DAYS_BACK + 1) * day + longest
    scales = [
        (scale.lookback + features_of(settings, scale).warm_up(scale.timeframe) + 1)
        * settings.base.bars_in(scale.timeframe)
        for scale in settings.scales
        if not scale.native_history
    ]
    return max(base, *scales)


def _fitted_from(time_ms: Ints, since_ms: int | None) -> int | None:
    """From when the base is fitted, so that its surprises are known at ``since_ms``."""
    if since_ms is None or since_ms > time_ms[-1]:
        return since_ms
    return since_ms - DAYS_BACK * DAY_MS


def num_origin_inputs(settings: DataSettings) -> int:
    """Width of `Panel.origin`."""
    return len(origin_columns(settings))


def num_clock_inputs(settings: DataSettings) -> int:
    """How many columns of `Panel.origin`, from the first on, are clock and ages."""
    return len(SEASON_COLUMNS) + len(settings.scales)


def origin_columns(settings: DataSettings) -> list[str]:
    """What the columns of `Panel.origin` are."""
    spans = [Timeframe(bars * settings.base.minutes) for bars in span_bars(settings.base)]
    return [
        *SEASON_COLUMNS,
        *(
            f"time since the newest bar of {scale.name} closed, in its own bars, at most 1"
            for scale in settings.scales
        ),
        *(f"log mean variance of a base bar over {span}, less that of 1 day" for span in spans),
        *(f"base forecast of {horizon}, less the log variance of 1 day" for horizon in settings.horizons),
        *(f"mean surprise of {horizon} {when}" for horizon in settings.horizons for when in SURPRISES),
    ]


def _feature_rows(
    sets: list[FeatureSet],
    scales: list[ScaleBars],
    funding: pl.DataFrame | None,
    level: pl.DataFrame | None,
) -> tuple[Floats, ...]:
    jobs = [
        (features, add_context(scale.bars, funding, level), scale.settings.timeframe)
        for features, scale in zip(sets, scales, strict=True)
    ]
    return tuple(
        frame.drop("close_time").fill_null(np.nan).to_numpy().reshape(frame.height, frame.width - 1)
        for frame in compute_scales(jobs)
    )


def _alignment(scales: list[ScaleBars], time_ms: Ints) -> tuple[Ints, Floats]:
    index, ages = [], []
    for scale in scales:
        close_ms = scale.bars["close_time"].dt.epoch("ms").to_numpy()
        rows = align(time_ms, close_ms)
        index.append(rows)
        ages.append(
            age(time_ms, close_ms, rows, scale.settings.timeframe.ms) if len(close_ms) else np.ones(len(rows))
        )
    return np.column_stack(index), np.column_stack(ages)


def _volatility_state(
    grid: pl.DataFrame, base: Timeframe, targets: Targets, base_log_variance: Floats
) -> Floats:
    """Variances of the base forecast's spans, and the base forecast itself, all against the last day's."""
    day = 2 * np.log(targets.sigma)[:, None]
    return np.column_stack([har_regressors(grid, base) - day, base_log_variance - day])


def _log_masked(panel: Panel) -> None:
    """Say how many bars have no forecast though forecasts had begun: a gap lies in their inputs."""
    first = int(panel.usable.argmax())
    masked = int((panel.traded & ~panel.usable)[first:].sum())
    if masked:
        logger.warning(
            "%s: %d of %d bars have no forecast, for a gap lies in their inputs",
            panel.symbol,
            masked,
            int(panel.traded[first:].sum()),
        )


def first_forecast_bars(settings: DataSettings) -> int:
    """About how many base bars with few holes come before the first forecast."""
    day = DAY_MS // settings.base.ms
    fitted = settings.base.bars_in(Timeframe(7 * 1_440)) + settings.base_forecast.min_days * day
    warm = features_of(settings, settings.scales[0]).warm_up(settings.base)
    return max(warm, fitted + settings.base.bars_in(settings.horizons[-1]) + day)


def _check_history(panel: Panel, settings: DataSettings) -> None:
    if panel.usable.any():
        return
    needed, longest = first_forecast_bars(settings), settings.horizons[-1]
    found, missing = int(panel.traded.sum()), int((~panel.traded).sum())
    holes = (
        f", and {missing:,} missing between them (`polyscale bars --gaps {panel.symbol}`)" if missing else ""
    )
    raise HistoryError(
        f"{panel.symbol}: a first forecast needs about {needed:,} bars of {settings.base} with few holes "
        f"(7 days of the longest span, {settings.base_forecast.min_days} days to fit the base forecast, "
        f"{longest} until their labels are known), found {found:,}{holes}; "
        "import more or better history, or lower data.base_forecast.min_days"
    )
