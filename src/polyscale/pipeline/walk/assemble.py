"""The folds put together: one symbol's forecasts over all tests, calibrated, and its rivals' beside them.

In: what tasks have kept, and the symbol's panel. Out: a `Track`: at every judged origin of the tests what was
said by whom, and what came.

The validation of the first fold goes before its test, and the tests follow one another. Along this line the
conformal steps go on without a break, for the network and for every rival alike.
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
    shortfall: Floats  # [N, H] expected shortfall at the lowest level
    entries: dict[str, Entry]  # the network under OWN, and its rivals
    variants: dict[str, Floats]  # [N, H] log variances of ablated networks
    first_seed: Floats  # [N, H] log variances of the first seed alone: what variants are held against
    log_variance: Floats  # [N, H] what came, NaN where not known
    returns: Floats  # [N, H]
    sigma: Floats  # [N] volatility per bar of the last day
    slopes: tuple[Slopes, ...]  # of each fold


@dataclass(frozen=True, eq=False)
class _Said:
    """One fold on its part of the line; n origins of the panel at `rows`."""

    rows: NDArray[np.int64]
    forecast: Forecast  # the seeds' mean, its direction and shape sloped
    first_seed: Floats  # [n, H]
    rivals: dict[str, Floats]  # [n, H], NaN off the grid
    variants: dict[str, Floats]  # [n, H]
    base_quantiles: Floats  # [n, H, Q] in units of volatility
    tail: Floats  # [n, H]
    slopes: Slopes


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
    folds = list(dict.fromkeys(task.fold for task in tasks))
    said: list[_Said] = []
    for fold in folds:
        of_fold = [task for task in tasks if task.fold == fold]
        found = _fold(folder, fold, of_fold, panel, slopes[fold], first=not said)
        said += [found] if found else []
    if not said:
        return None
    rows = np.concatenate([each.rows for each in said])
    grid = on_grid(panel, config.evaluation)[rows]
    first_test = next(fold for fold in folds if fold.ends.test_end >= panel.time_ms[rows[0]])
    judged = grid & (panel.time_ms[rows] > first_test.ends.validate_end)
    returns = panel.targets.log_return[rows]
    whole = Forecast.concatenated([each.forecast for each in said])
    adapted = conformal(whole, returns, config.data.base.ms)
    standard = np.concatenate([each.base_quantiles for each in said])
    rivals = {
        name: _entry(
            whole, np.concatenate([each.rivals[name] for each in said]), standard, panel, returns, grid
        )
        for name in said[0].rivals
    }
    own = Entry(_log_variance(adapted, panel)[judged], adapted.quantiles[judged])
    return Track(
        symbol=panel.symbol,
        forecast=adapted.at(judged),
        shortfall=(adapted.quantiles[..., 0] * np.concatenate([each.tail for each in said]))[judged],
        entries={OWN: own, **{name: _at(entry, judged[grid]) for name, entry in rivals.items()}},
        variants={
            name: np.concatenate([each.variants[name] for each in said])[judged] for name in said[0].variants
        },
        first_seed=np.concatenate([each.first_seed for each in said])[judged],
        log_variance=panel.targets.log_variance[rows][judged],
        returns=returns[judged],
        sigma=panel.targets.sigma[rows][judged],
        slopes=tuple(each.slopes for each in said),
    )


def _fold(
    folder: RunFolder, fold: Fold, tasks: list[Task], panel: Panel, slopes: Slopes, *, first: bool
) -> _Said | None:
    networks = [task for task in tasks if task.kind == NETWORK]
    found = [kept_forecast(folder, task, panel.symbol) for task in networks]
    seeds = [forecast for forecast in found if forecast is not None]
    if not seeds:
        return None
    begin = fold.ends.train_end if first else fold.ends.validate_end
    times = seeds[0].close_time.astype("datetime64[ms]").astype(np.int64)
    inside = (times > begin) & (times <= fold.ends.test_end)
    if not inside.any():
        return None
    facts = kept_facts(folder, networks[0])
    base_quantiles = np.array(facts["base_quantiles"])
    mean = sloped(average([forecast.at(inside) for forecast in seeds]), slopes, base_quantiles)
    rows = np.searchsorted(panel.time_ms, times[inside])
    rivals = {task.name: _rival(folder, task, panel, rows) for task in tasks if task.kind == BASELINE}
    variants = {
        task.name: _on_rows(forecast, panel, rows)
        for task in tasks
        if task.kind == ABLATION and (forecast := kept_forecast(folder, task, panel.symbol)) is not None
    }
    return _Said(
        rows=rows,
        forecast=mean,
        first_seed=_log_variance(seeds[0].at(inside), panel),
        rivals=rivals,
        variants=variants,
        base_quantiles=np.broadcast_to(base_quantiles, mean.quantiles.shape),
        tail=np.broadcast_to(np.array(facts["tail"]), mean.volatility.shape),
        slopes=slopes,
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
    whole: Forecast,
    log_variance: Floats,
    standard: Floats,
    panel: Panel,
    returns: Floats,
    grid: NDArray[np.bool_],
) -> Entry:
    """A rival with quantiles at the grid's origins: the base's, in its own volatility, moved as ours are."""
    volatility = np.exp(0.5 * log_variance[grid]) * np.sqrt(panel.targets.bars_ahead)
    known = np.isfinite(volatility).all(axis=1)
    quantiles = np.full((len(volatility), *standard.shape[1:]), np.nan)
    if known.any():
        step = int(np.diff(whole.close_time[grid][known]).min().astype("timedelta64[ms]").astype(np.int64))
        there = whole.at(grid).at(known)
        plain = there.with_volatility(volatility[known], standard[grid][known] * volatility[known][..., None])
        quantiles[known] = conformal(plain, returns[grid][known], step).quantiles
    return Entry(log_variance[grid], quantiles)


def _at(entry: Entry, rows: NDArray[np.bool_]) -> Entry:
    return Entry(entry.log_variance[rows], entry.quantiles[rows])


def _on_rows(forecast: Forecast, panel: Panel, rows: NDArray[np.int64]) -> Floats:
    """A variant's log variances at the rows of a fold [n, H], NaN where it says nothing."""
    values = np.full((len(rows), len(panel.targets.horizons)), np.nan)
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
