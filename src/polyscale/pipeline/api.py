"""The product from Python: ten verbs over the same stages as the command.

``read_bars`` a file, ``fit`` a config on bars, ``load_run`` it again, ``Run.predict``, ``backtest`` a
forecast, ``evaluate`` a run, ``audit_run`` it, ``explain_run`` it, ask for ``attention_maps``; fit and test
again and again along time, ``walk_forward``;
`polyscale.audit.check` asks any stage whether it knows its future. ``Run.export`` writes a run's network as
ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from polyscale.audit import Audit
from polyscale.backtesting.engine import run_backtest
from polyscale.backtesting.result import BacktestResult
from polyscale.backtesting.settings import BacktestSettings
from polyscale.config.run_config import RunConfig, read_config
from polyscale.exchange.bar_file import read_bar_file
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.model.maps import AttentionMaps
from polyscale.pipeline.audit import Depth, keep_audit
from polyscale.pipeline.audit import audit_run as audit_whole_run
from polyscale.pipeline.explain import FEATURE_ORIGINS, Explanation
from polyscale.pipeline.explain import attention_maps as maps_of_run
from polyscale.pipeline.explain import explain_run as explain_whole_run
from polyscale.pipeline.learn import prepare
from polyscale.pipeline.load import (
    SymbolBars,
    check_same,
    given_symbols,
    load_at_version,
    pin_version,
    same_bars,
)
from polyscale.pipeline.run import Observer, Run, Silent, again, start, train
from polyscale.pipeline.run import evaluate as evaluate_run
from polyscale.pipeline.run import load_run as open_run
from polyscale.pipeline.walk.evaluate import begin as begin_walk
from polyscale.pipeline.walk.evaluate import evaluate_walk
from polyscale.report.page import SymbolReport
from polyscale.store.store import DataVersion, Store
from polyscale.strategy.decide import decide
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.span import bars_of_test


@dataclass(frozen=True, eq=False)
class WalkForward:
    """A walk-forward that is done."""

    folder: Path
    results: dict[str, Any]


Bars = Mapping[str, pl.DataFrame]
NativeBars = Mapping[str, Mapping[str, pl.DataFrame]]


def read_bars(path: str | Path, timeframe: str, label: Literal["open", "close"]) -> pl.DataFrame:
    """Read a CSV or Parquet file of candles.

    Parameters
    ----------
    path
        Of the file; its columns are found by their usual names.
    timeframe
        Of the bars: ``1m``, ``5m``, ``1h`` ...
    label
        Whether the file's time is the open or the close of a bar; it is never guessed.

    Returns
    -------
    polars.DataFrame
        Checked bars with ``close_time`` in UTC, from which each row may be used.

    Raises
    ------
    DataError
        If the file holds no candles, or breaks their contract; names the row and the rule.
    """
    return read_bar_file(Path(path), Timeframe.parse(timeframe), label).bars


def fit(
    config: RunConfig | str | Path,
    bars: Bars | None = None,
    *,
    native: NativeBars | None = None,
    store: str | Path = "store",
    runs: str | Path = "runs",
    observer: Observer | None = None,
) -> Run:
    """Train a config on bars by symbol, or on what the store (or the config's simulation) gives.

    Parameters
    ----------
    native
        Bars of coarser timeframes by symbol and timeframe, for scales with ``native_history``.

    Returns
    -------
    Run
        The trained model in its folder under ``runs``.

    Raises
    ------
    ConfigError, NotStoredError, HistoryError, TrainingError
        Each names what was needed and what was found.
    """
    settings = _config(config)
    symbols, version = _symbols(settings, bars, native, store)
    prepared = prepare(settings, symbols)
    folder = start(settings, symbols, version, Path(runs))
    pin_version(folder, Store(store), version)
    return train(folder, settings, prepared, observer or Silent())


def load_run(path: str | Path) -> Run:
    """Open the folder of a trained run.

    Raises
    ------
    RunError
        If it is damaged, newer than this version, made with other features, or not trained to the end.
    """
    return open_run(Path(path))


def backtest(
    forecast: Forecast,
    bars: pl.DataFrame,
    timeframe: str,
    strategy: StrategySettings,
    costs: BacktestSettings,
    funding: pl.DataFrame | None,
) -> BacktestResult:
    """Trade a forecast: decide at each close, fill at the next bar's open, charge every cost.

    Parameters
    ----------
    bars
        Checked bars; the run spans those between the first and the last forecast.
    funding
        Stored rates, or None to charge ``costs.assumed_funding_8h`` against either side.
    """
    spanned = bars_of_test(bars, forecast)
    positions = decide(forecast, strategy, costs.round_trip_cost, spanned)
    return run_backtest(spanned, Timeframe.parse(timeframe), positions, costs, funding)


def evaluate(
    run: Run,
    bars: Bars | None = None,
    *,
    native: NativeBars | None = None,
    store: str | Path = "store",
) -> list[SymbolReport]:
    """Judge a run's test beside the baselines and in money; writes metrics.json and report.html.

    The test is the run's own: the bars must be those that it was trained from, and its parts are kept.

    Raises
    ------
    RunError
        If the bars are others.
    """
    symbols = _symbols_of(run, bars, native, store)
    return evaluate_run(run, symbols, again(run, symbols), Silent())


def walk_forward(
    config: RunConfig | str | Path,
    store: str | Path = "store",
    *,
    baselines: Sequence[str] | None = None,
    ablate: bool = False,
    jobs: int = 1,
    evaluations: str | Path = "evaluations",
    observer: Observer | None = None,
) -> WalkForward:
    """Fit again and again along time, test on what follows, and compare with the baselines.

    Parameters
    ----------
    config
        With a section ``walk_forward``; bars come from the store, or from the config's simulation.
    baselines
        By name; absent: all. Last value, log-HAR and base are always asked.
    ablate
        Also without each part of the network, one seed each.
    jobs
        Processes side by side, one thread each.

    Returns
    -------
    WalkForward
        What evaluation.json holds, and the folder in which it and report.html are.

    Raises
    ------
    ConfigError, NotStoredError, HistoryError, TrainingError
        Each names what was needed and what was found; what can be known before the first fit is.
    """
    held, watch = Store(store), observer or Silent()
    folder = begin_walk(_config(config), held, Path(evaluations), watch, baselines, ablate=ablate)
    return WalkForward(folder.path, evaluate_walk(folder, held, watch, jobs))


def audit_run(
    run: Run,
    bars: Bars | None = None,
    *,
    native: NativeBars | None = None,
    store: str | Path = "store",
    cuts: int = 200,
) -> Audit:
    """Look for rows of a run that know their future: bars to forecasts to positions, fits, split.

    The bars must be those that it was trained from; what was found is kept in audit.json and in the report.

    Raises
    ------
    RunError
        If the bars are others.
    """
    symbols = _symbols_of(run, bars, native, store)
    found = audit_whole_run(run, symbols, Silent(), cuts)
    keep_audit(run.folder, found, cuts, Depth.FULL)
    return found


def explain_run(
    run: Run,
    bars: Bars | None = None,
    *,
    native: NativeBars | None = None,
    store: str | Path = "store",
    feature_origins: int = FEATURE_ORIGINS,
) -> list[Explanation]:
    """Leave scales and features out of the test's forecasts; hold the effects against the importance.

    The bars must be those that it was trained from.

    Parameters
    ----------
    feature_origins
        At about how many origins every feature is occluded; scales are left out at all.

    Raises
    ------
    RunError
        If the bars are others.
    """
    return explain_whole_run(run, _symbols_of(run, bars, native, store), Silent(), feature_origins)


def attention_maps(
    run: Run,
    at: Sequence[datetime],
    bars: Bars | None = None,
    *,
    symbol: str | None = None,
    native: NativeBars | None = None,
    store: str | Path = "store",
) -> AttentionMaps:
    """What a run looked at when it forecast at some closes: between scales, and inside each.

    Parameters
    ----------
    at
        Closes of base bars, each with its zone; the maps have one sample for each.
    symbol
        Absent for the run's first.

    Raises
    ------
    RunError
        If the bars are not those of the run.
    HistoryError
        If there is no forecast at one of the times.
    """
    symbols = _symbols_of(run, bars, native, store)
    return maps_of_run(run, symbols, symbol or run.config.market.symbols[0], at)


def _symbols_of(
    run: Run, bars: Bars | None, native: NativeBars | None, store: str | Path
) -> list[SymbolBars]:
    """What a run was trained from: read again, or handed in and compared."""
    if bars is None:
        return same_bars(run.folder, run.config, Store(store))
    symbols = given_symbols(bars, run.config, native)
    check_same(run.folder, symbols)
    return symbols


def _config(config: RunConfig | str | Path) -> RunConfig:
    return config if isinstance(config, RunConfig) else read_config(Path(config))


def _symbols(
    config: RunConfig, bars: Bars | None, native: NativeBars | None, store: str | Path
) -> tuple[list[SymbolBars], DataVersion | None]:
    """The bars, and the version of the store that they came from."""
    if bars is not None:
        return given_symbols(bars, config, native), None
    return load_at_version(config, Store(store))
