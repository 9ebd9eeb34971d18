"""What a feature is, and how a set of them is computed: one row per closed bar, null until warm.

In: bars of one scale on their grid. Out: ``close_time`` and one column per feature. A value at row t is there
only if every one of the last ``warm_up`` bars is; it is never filled backward, and never infinite or NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from polyscale.market.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Feature:
    """A named causal expression over the columns of bars.

    ``expression`` may look at its own row and at earlier rows, never at later ones; ``polyscale.audit``
    checks it. ``warm_up`` is the number of bars it needs, the newest included.
    """

    name: str
    expression: pl.Expr
    warm_up: int
    meaning: str


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

    @property
    def warm_up(self) -> int:
        """Bars until every feature has a value."""
        return max(feature.warm_up for feature in self.features)

    def compute(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Compute every feature of every bar in one pass; known when: each row at its ``close_time``."""
        present = pl.col("close").is_not_null().cast(pl.UInt32)
        columns = []
        for feature in self.features:
            warm = present.rolling_sum(feature.warm_up, min_samples=feature.warm_up) == feature.warm_up
            value = feature.expression.cast(pl.Float64)
            columns.append(pl.when(warm & value.is_finite()).then(value).alias(feature.name))
        return bars.select("close_time", *columns)


def select(names: Sequence[str], catalogue: dict[str, Feature], extra: Sequence[Feature] = ()) -> FeatureSet:
    """Pick features by name, out of a catalogue and the user's own.

    Raises
    ------
    ConfigError
        For a name that neither holds.
    """
    known = catalogue | {feature.name: feature for feature in extra}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"features must be out of {sorted(known)}, got {unknown}")
    return FeatureSet(tuple(known[name] for name in names))
