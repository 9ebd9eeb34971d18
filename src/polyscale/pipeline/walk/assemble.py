"""The folds put together: one symbol's forecasts over all tests, calibrated, and its rivals' beside them.

In: what tasks have kept, and the symbol's panel. Out: a `Track`: at every judged origin of the tests what was
said by whom, and what came.

The validation of the first fold goes before its test, and the tests follow one another. Along this line the
conformal steps go on without a break, at the origins that are judged and at no other: a rival, which is asked
there alone, moves as often as the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyscale.config.run_config import RunConfig
from polyscale.dataset.folds import Fold
from polyscale.dataset.panel import Panel
from polyscale.evaluation.contest import Entry
from polyscale.forecast.conformal import conformal
from polyscale.forecast.ensemble import average
from polyscale.forecast.slopes import Slopes, sloped
from polyscale.market.forecast import Floats, Forecast
from polyscale.pipeline.walk.keep import kept_facts, kept_forecast, kept_said
from polyscale.pipeline.walk.plan import ABLATION, BASELINE, NETWORK, Task
from polyscale.pipeline.walk.task import on_grid
from polyscale.runs.folder import RunFolder

OWN = "network"


@dataclass(frozen=True, eq=False)
class Track:
    """One symbol at the judged origins of all tests; N origins, H horizons."""

    symbol: str
    forecast: Forecast
    plain_var: Floats  # [N, H] the lowest quantile before the conformal steps
    shortfall: Floats  # [N, H] expected shortfall at the lowest level
    entries: dict[str, Entry]  # the network under OWN, and its rivals
    variants: dict[str, Floats]  # [N, H] log variances of ablated networks
    seeds: dict[int, Floats]  # [N, H] log variances of each seed alone; variants are held against the first
    log_variance: Floats  # [N, H] what came, NaN where not known
    returns: Floats  # [N, H]
    sigma: Floats  # [N] volatility per bar of the last day
    slopes: dict[str, Slopes]  # by fold


@dataclass(frozen=True, eq=False)
class _Said:
    """One fold on its part of the line; n origins of the panel at `rows`, all on the evaluation's grid."""

    fold: Fold
    rows: NDArray[np.int64]
    forecast: Forecast  # the seeds' mean, its direction and shape sloped
    seeds: dict[int, Floats]  # [n, H]
    rivals: dict[str, Floats]  # [n, H], NaN where one says nothing
    variants: dict[str, Floats]  # [n, H], NaN where one says nothing
    base_quantiles: Floats  # [n, H, Q] in units of volatility
    tail: Floats  # [n, H]


def assemble(
    folder: RunFolder,
    config: RunConfig,
    tasks: Sequence[Task],
    panel: Panel,
    slopes: Mapping[Fold, Slopes],
) -> Track | None:
    """Put a symbol's folds together; None if no fold tests it.

    Parameters
    ----------
    tasks
        Of the cohort that tests this symbol, all of them done.
    slopes
        The frozen calibration of the cohort in each fold.
    """
    said: list[_Said] = []
    for fold in dict.fromkeys(task.fold for task in tasks):
        of_fold = [task for task in tasks if task.fold == fold]
        found = _fold(folder, config, of_fold, panel, slopes[fold], first=not said)
        said += [found] if found else []
    if not said:
        return None
    rows = np.concatenate([each.rows for each in said])
    judged = panel.time_ms[rows] > said[0].fold.ends.validate_end
    if not judged.any():
        return None
    whole = Forecast.concatenated([each.forecast for each in said])
    returns = panel.targets.log_return[rows]
    step_ms = config.evaluation.every.ms
    adapted = conformal(whole, returns, step_ms)
    shape = np.concatenate([each.base_quantiles for each in said])
    entries = {OWN: Entry(_log_variance(adapted, panel), adapted.quantiles)}
    for name in said[0].rivals:
        values = np.concatenate([each.rivals[name] for each in said])
        entries[name] = _entry(whole, values, shape, panel, returns, step_ms)
    return Track(
        symbol=panel.symbol,
        forecast=adapted.at(judged),
        plain_var=whole.quantiles[judged, :, 0],
        shortfall=(adapted.quantiles[..., 0] * np.concatenate([each.tail for each in said]))[judged],
        entries={
            name: Entry(each.log_variance[judged], each.quantiles[judged]) for name, each in entries.items()
        },
        variants={
            name: np.concatenate([each.variants[name] for each in said])[judged] for name in said[0].variants
        },
        seeds={seed: np.concatenate([each.seeds[seed] for each in said])[judged] for seed in said[0].seeds},
        log_variance=panel.targets.log_variance[rows][judged],
        returns=returns[judged],
        sigma=panel.targets.sigma[rows][judged],
        slopes={each.fold.name: slopes[each.fold] for each in said},
    )


def _fold(
    folder: RunFolder, config: RunConfig, tasks: list[Task], panel: Panel, slopes: Slopes, *, first: bool
) -> _Said | None:
    fold = tasks[0].fold
    networks = [task for task in tasks if task.kind == NETWORK]
    found = {task.seed: kept_forecast(folder, task, panel.symbol) for task in networks}
    seeds = {seed: forecast for seed, forecast in found.items() if forecast is not None}
    if not seeds:
        return None
    begin = fold.ends.train_end if first else fold.ends.validate_end
    times = next(iter(seeds.values())).close_time.astype("datetime64[ms]").astype(np.int64)
    rows = np.searchsorted(panel.time_ms, times)
    inside = (times > begin) & (times <= fold.ends.test_end) & on_grid(panel, config.evaluation)[rows]
    if not inside.any():
        return None
    facts, rows = kept_facts(folder, networks[0]), rows[inside]
    base_quantiles = np.array(facts["base_quantiles"])
    asked = {seed: forecast.at(inside) for seed, forecast in seeds.items()}
    mean = sloped(average(list(asked.values())), slopes, base_quantiles)
    rivals: dict[str, list[Floats]] = {}
    for task in tasks:
        if task.kind == BASELINE:
            rivals.setdefault(task.name, []).append(_rival(folder, task, panel, rows))
    return _Said(
        fold=fold,
        rows=rows,
        forecast=mean,
        seeds={seed: _log_variance(forecast, panel) for seed, forecast in asked.items()},
        rivals={name: np.mean(values, axis=0) for name, values in rivals.items()},
        variants={
            task.name: _on_rows(kept_forecast(folder, task, panel.symbol), panel, rows)
            for task in tasks
            if task.kind == ABLATION
        },
        base_quantiles=np.broadcast_to(base_quantiles, mean.quantiles.shape),
        tail=np.broadcast_to(np.array(facts["tail"]), mean.volatility.shape),
    )


def _rival(folder: RunFolder, task: Task, panel: Panel, rows: NDArray[np.int64]) -> Floats:
    """A baseline's log variances at the rows of a fold [n, H], NaN where it says nothing."""
    values = np.full((len(rows), len(panel.targets.horizons)), np.nan)
    said = kept_said(folder, task, panel.symbol)
    if said is not None:
        _, at, of = np.intersect1d(panel.time_ms[rows], said.time_ms, return_indices=True)
        values[at] = said.values[of]
    return values


def _entry(
    whole: Forecast, log_variance: Floats, shape: Floats, panel: Panel, returns: Floats, step_ms: int
) -> Entry:
    """A rival with quantiles: the base's shape in its own volatility, moved by the steps that ours are."""
    volatility = np.exp(0.5 * log_variance) * np.sqrt(panel.targets.bars_ahead)
    known = np.isfinite(volatility).all(axis=1)
    quantiles = np.full_like(shape, np.nan)
    if known.any():
        there = whole.at(known).with_volatility(
            volatility[known], shape[known] * volatility[known][..., None]
        )
        quantiles[known] = conformal(there, returns[known], step_ms).quantiles
    return Entry(log_variance, quantiles)


def _on_rows(forecast: Forecast | None, panel: Panel, rows: NDArray[np.int64]) -> Floats:
    """A variant's log variances at the rows of a fold [n, H], NaN where it says nothing."""
    values = np.full((len(rows), len(panel.targets.horizons)), np.nan)
    if forecast is None:
        return values
    times = forecast.close_time.astype("datetime64[ms]").astype(np.int64)
    _, at, of = np.intersect1d(panel.time_ms[rows], times, return_indices=True)
    for column, horizon in enumerate(forecast.horizons):
        h = panel.targets.horizons.index(horizon)
        ahead = panel.targets.bars_ahead[h]
        values[at, h] = 2 * np.log(forecast.volatility[of, column]) - np.log(ahead)
    return values


def _log_variance(forecast: Forecast, panel: Panel) -> Floats:
    """Log mean variance per base bar [n, H]."""
    return 2 * np.log(forecast.volatility) - np.log(np.array(panel.targets.bars_ahead))
