"""The scorecard: all that is measured of a forecast in a test period, per horizon, as plain frozen data.

In: the `Forecast` at the judged origins, what came (labels), and baselines at the same origins. Out: a
`Scorecard`. An origin counts once its label has ended; others are left out and counted, and all forecasts
of a horizon are judged on the same origins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from polyscale.evaluation.bootstrap import Bootstrap, block_length
from polyscale.evaluation.comparison import Sampling
from polyscale.evaluation.direction import DirectionScore, score_direction
from polyscale.evaluation.quantiles import QuantileScore, score_quantiles
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.volatility import VolatilityScore, score_volatility
from polyscale.market.errors import DataError
from polyscale.market.forecast import Floats, Forecast
from polyscale.market.timeframe import Timeframe


@dataclass(frozen=True)
class HorizonScore:
    """One horizon; the three scores are None, with a reason, where they do not exist."""

    horizon: Timeframe
    horizon_bars: int
    num_origins: int
    num_independent: int  # labels that do not overlap
    num_unlabelled: int  # left out: the label is not known
    num_without_baseline: int  # left out: the label is known, a baseline is not
    volatility: VolatilityScore | None
    quantiles: QuantileScore | None
    direction: DirectionScore | None
    reason: str = ""


@dataclass(frozen=True)
class Scorecard:
    """All horizons, in the forecast's order, and the rule by which an edge may be claimed."""

    horizons: tuple[HorizonScore, ...]
    step_bars: int  # base bars between judged origins
    confidence: float  # level of the intervals
    adjusted_confidence: float  # level of each, so that all claims hold together at `confidence`
    min_independent: int

    def at(self, horizon: Timeframe) -> HorizonScore:
        """Return one horizon's score; `DataError` if it was not scored."""
        for score in self.horizons:
            if score.horizon == horizon:
                return score
        raise DataError(
            f"horizon {horizon} was not scored; there are {[str(score.horizon) for score in self.horizons]}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts, lists, numbers and text only, for JSON; None where a number does not exist."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def score(
    forecast: Forecast,
    log_variance: Floats,
    returns: Floats,
    baselines: Mapping[str, Floats],
    base_quantiles: Floats | None,
    *,
    bars_per_horizon: Sequence[int],
    step_bars: int,
    settings: EvaluationSettings,
    claims_per_horizon: int = 1,
) -> Scorecard:
    """Judge a forecast against what came and against baselines.

    Parameters
    ----------
    forecast
        At the judged origins only, evenly spaced.
    log_variance
        [N, H] realised log mean variance per bar over the horizon; NaN where the label is not known.
    returns
        [N, H] realised log return over the horizon; NaN where the label is not known.
    baselines
        By name (``base``, ``log-HAR``, ``last value``), [N, H] forecasts of ``log_variance``; an origin where
        one of them is NaN is left out for all.
    base_quantiles
        [N, H, Q] quantiles of the return by the base forecast at the same levels; None if there are none.
    bars_per_horizon
        Base bars in each horizon.
    step_bars
        Base bars between judged origins.
    claims_per_horizon
        Symbols times kinds that are claimed together (`polyscale.evaluation.claims`), for which the adjusted
        intervals are widened; 1 for the claims of one kind and symbol.

    Raises
    ------
    DataError
        If a shape does not fit the forecast's, a count is below 1, or a forecast volatility is not positive.
    """
    inputs = _Inputs(forecast, log_variance, returns, baselines, base_quantiles, tuple(bars_per_horizon))
    inputs.check(step_bars)
    if claims_per_horizon < 1:
        raise DataError(f"claims_per_horizon must be >= 1, got {claims_per_horizon}")
    adjusted = 1.0 - (1.0 - settings.confidence) / (max(1, len(forecast.horizons)) * claims_per_horizon)
    scores = []
    for i, bars in enumerate(bars_per_horizon):
        span = max(1, math.ceil(bars / step_bars))
        num = int(inputs.judged(i).sum())
        bootstrap = Bootstrap(
            block_length(num, span), settings.confidence, settings.num_bootstrap, settings.seed
        )
        scores.append(_score_horizon(inputs, i, step_bars, Sampling(span, bootstrap, adjusted)))
    return Scorecard(tuple(scores), step_bars, settings.confidence, adjusted, settings.min_independent)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What `score` was given; N origins, H horizons, Q levels."""

    forecast: Forecast
    log_variance: Floats  # [N, H]
    returns: Floats  # [N, H]
    baselines: Mapping[str, Floats]  # [N, H]
    base_quantiles: Floats | None  # [N, H, Q]
    bars_per_horizon: tuple[int, ...]

    def check(self, step_bars: int) -> None:
        """Raise `DataError` at the first shape or number that does not fit."""
        n, h, q = self.forecast.quantiles.shape
        arrays = {"log_variance": self.log_variance, "returns": self.returns}
        arrays |= {f"baselines[{name!r}]": values for name, values in self.baselines.items()}
        for name, values in arrays.items():
            if values.shape != (n, h):
                raise DataError(f"{name} must have the forecast's shape {(n, h)}, got {values.shape}")
        if self.base_quantiles is not None and self.base_quantiles.shape != (n, h, q):
            raise DataError(f"base_quantiles must have shape {(n, h, q)}, got {self.base_quantiles.shape}")
        if not (self.forecast.volatility > 0.0).all():
            raise DataError(f"forecast.volatility must be > 0, got {self.forecast.volatility.min()}")
        if len(self.bars_per_horizon) != h or min(self.bars_per_horizon, default=1) < 1 or step_bars < 1:
            raise DataError(
                f"bars_per_horizon must hold {h} numbers >= 1 and step_bars be >= 1, "
                f"got {self.bars_per_horizon} and {step_bars}"
            )

    def labelled(self, i: int) -> Bool[np.ndarray, " n"]:
        """Origins whose label is known at horizon ``i``."""
        return np.isfinite(self.log_variance[:, i]) & np.isfinite(self.returns[:, i])

    def judged(self, i: int) -> Bool[np.ndarray, " n"]:
        """Origins whose label and baselines are all known at horizon ``i``."""
        judged = self.labelled(i)
        for values in self.baselines.values():
            judged = judged & np.isfinite(values[:, i])
        if self.base_quantiles is not None:
            judged = judged & np.isfinite(self.base_quantiles[:, i]).all(axis=1)
        return judged


def _score_horizon(inputs: _Inputs, i: int, step_bars: int, sampling: Sampling) -> HorizonScore:
    forecast, labelled, rows = inputs.forecast, inputs.labelled(i), inputs.judged(i)
    bars, num = inputs.bars_per_horizon[i], int(rows.sum())
    counted = HorizonScore(
        horizon=forecast.horizons[i],
        horizon_bars=bars,
        num_origins=num,
        num_independent=min(num, num * step_bars // bars),
        num_unlabelled=int((~labelled).sum()),
        num_without_baseline=int((labelled & ~rows).sum()),
        volatility=None,
        quantiles=None,
        direction=None,
        reason="" if num else "no origin has both a known label and all baselines",
    )
    if num == 0:
        return counted
    returns = inputs.returns[rows, i]
    base = None if inputs.base_quantiles is None else inputs.base_quantiles[rows, i]
    direction = score_direction(returns, forecast.prob_up[rows, i], sampling)
    return replace(
        counted,
        volatility=score_volatility(
            inputs.log_variance[rows, i],
            np.log(forecast.volatility[rows, i] ** 2 / bars),
            {name: values[rows, i] for name, values in inputs.baselines.items()},
            sampling,
        ),
        quantiles=score_quantiles(returns, forecast.quantiles[rows, i], base, forecast.levels, sampling),
        direction=direction,
        reason="" if direction else "every return was exactly zero: there is no direction to judge",
    )


def _plain(value: object) -> object:
    """Return what JSON can hold."""
    if isinstance(value, Timeframe):
        return str(value)
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
