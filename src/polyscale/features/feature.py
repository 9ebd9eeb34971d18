"""What a feature is, and how sets of them are computed: one row per closed bar, null until warm.

In: bars of one scale on their grid. Out: ``close_time`` and one column per feature. A value at row t is
there only if every one of the last ``warm_up`` bars is; it is never filled backward, and never infinite or
NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.features.inputs import Inputs
from polyscale.market.errors import ConfigError, DataError, PolyscaleError
from polyscale.market.timeframe import Timeframe

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Formula = Callable[[Inputs], Floats]
_JOB_VALUES: Final = 2**20  # of one scale that are computed by a thread before it takes the next job


@dataclass(frozen=True, eq=False)
class Feature:
    """A named causal formula over bars.

    The formula is a polars expression over the columns of bars, or a function of `Inputs` that gives [T].
    It may look at its own row and at earlier rows, never at later ones; `polyscale.audit` checks it.
    """

    name: str
    formula: pl.Expr | Formula
    warm_up: int  # bars that it needs, the newest included
    meaning: str
    unit: str = "1"
    warm_days: int = 0  # whole days of bars that it needs before the newest one
    handles_gaps: bool = False  # it deals with missing bars itself: only its own row's bar must be there

    def __post_init__(self) -> None:
        if not isinstance(self.warm_up, int) or self.warm_up < 1:
            raise ConfigError(
                f"warm_up of feature {self.name!r} must be a whole number >= 1, got {self.warm_up!r}"
            )
        if not self.name or self.name == "close_time":
            raise ConfigError(f"a feature must have a name other than close_time, got {self.name!r}")

    def warm_bars(self, timeframe: Timeframe) -> int:
        """Bars of a timeframe until there is a value, the newest included."""
        per_day = max(1_440 // timeframe.minutes, 1)
        return max(self.warm_up, self.warm_days * per_day + 1)


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """An ordered list of features with different names."""

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"features must have different names, got {twice} more than once")
        if not names:
            raise ConfigError("features must name at least one feature, got none")

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [feature.name for feature in self.features]

    def warm_up(self, timeframe: Timeframe) -> int:
        """Bars until every feature has a value."""
        return max(feature.warm_bars(timeframe) for feature in self.features)

    def compute(self, bars: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
        """Compute every feature of every bar; known when: each row at its ``close_time``.

        Parameters
        ----------
        bars
            On their grid (`polyscale.scales.grid.to_grid`), null where missing, with the context columns
            that features ask for.
        timeframe
            Of the bars.
        """
        return compute_scales([(self, bars, timeframe)])[0]


def select(
    names: Sequence[str], catalogue: Mapping[str, Feature], extra: Sequence[Feature] = ()
) -> FeatureSet:
    """Pick features by name, out of a catalogue and the user's own.

    Raises
    ------
    ConfigError
        For a name that neither holds.
    """
    known = {**catalogue, **{feature.name: feature for feature in extra}}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"features must be out of {sorted(known)}, got {unknown}")
    return FeatureSet(tuple(known[name] for name in names))


def compute_scales(scales: Sequence[tuple[FeatureSet, pl.DataFrame, Timeframe]]) -> list[pl.DataFrame]:
    """Compute the features of several scales in one pass over a few threads; see `FeatureSet.compute`."""
    for _, bars, timeframe in scales:
        _check_grid(bars, timeframe)
    inputs = [Inputs(bars, timeframe) for _, bars, timeframe in scales]
    jobs = [
        (x, features.features[first : first + size])
        for (features, _, _), x in zip(scales, inputs, strict=True)
        for size in (max(_JOB_VALUES // max(len(x.present), 1), 1),)
        for first in range(0, len(features.features), size)
    ]
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        futures = {
            i: pool.submit(_columns, *jobs[i]) for i in _long_and_short([len(x.present) for x, _ in jobs])
        }
        columns = chain.from_iterable(futures[i].result() for i in range(len(jobs)))
        return [
            pl.DataFrame([x.bars["close_time"], *islice(columns, len(features.features))])
            for (features, _, _), x in zip(scales, inputs, strict=True)
        ]


def _long_and_short(rows: Sequence[int]) -> list[int]:
    """Jobs of many rows and of few in turn: threads that all take small steps wait for the interpreter."""
    falling = sorted(range(len(rows)), key=lambda i: -rows[i])
    middle = sum(count > rows[falling[0]] // 2 for count in rows) if rows else 0
    pairs = zip_longest(falling[:middle], falling[middle:])
    return [i for pair in pairs for i in pair if i is not None]


def _columns(inputs: Inputs, features: Sequence[Feature]) -> list[pl.Series]:
    return [_column(feature, inputs) for feature in features]


def _column(feature: Feature, inputs: Inputs) -> pl.Series:
    """Values of one feature, null where they are not warm or not finite."""
    values = _evaluate(feature, inputs)
    warm_bars = feature.warm_bars(inputs.timeframe)
    values[: warm_bars - 1] = np.nan
    if inputs.has_gaps:
        values[inputs.run_length < (1 if feature.handles_gaps else warm_bars)] = np.nan
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(values[warm_bars - 1 :].sum())  # cheaper than to ask every value
    if not finite:
        values[~np.isfinite(values)] = np.nan
    return pl.Series(feature.name, values, nan_to_null=True)


def _evaluate(feature: Feature, inputs: Inputs) -> Floats:
    """Values of the formula [T], in an array of their own."""
    try:
        with np.errstate(all="ignore"):
            if isinstance(feature.formula, pl.Expr):
                one = feature.formula.cast(pl.Float64).alias(feature.name)
                values = inputs.bars.select(one).to_series().fill_null(np.nan).to_numpy()
            else:
                values = np.asarray(feature.formula(inputs))
            if values.dtype != np.float64:
                values = values.astype(np.float64, casting="safe")
    except PolyscaleError:
        raise
    except Exception as error:
        raise DataError(
            f"feature {feature.name} must give one real number per bar, it raised {type(error).__name__}: "
            f"{error}; mend its formula"
        ) from error
    if values.shape != inputs.present.shape:
        raise DataError(
            f"feature {feature.name} must give one number per bar, {inputs.present.shape}, got {values.shape}"
        )
    return values if values.flags.writeable and values.flags.c_contiguous else values.copy()


def _check_grid(bars: pl.DataFrame, timeframe: Timeframe) -> None:
    """A row shift must be a time shift."""
    if bars.height < 2:
        return
    first, last = bars["close_time"][0], bars["close_time"][-1]
    rows = (last - first).total_seconds() * 1_000 / timeframe.ms + 1
    if rows != bars.height:
        raise DataError(
            f"features need bars of {timeframe} on their grid: {rows:,.0f} rows from {first} to {last}, got "
            f"{bars.height:,}; lay them on it with polyscale.scales.grid.to_grid"
        )
