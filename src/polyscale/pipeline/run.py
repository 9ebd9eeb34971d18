"""The main job as a story: load, prepare, learn, judge, tell.

``start`` makes a run folder, ``train`` fills it with a model, ``evaluate`` with forecasts, figures and the
report; ``load_run`` opens one again. The command and the Python API are thin over these.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from polyscale.backtesting.result import BacktestResult
from polyscale.config.run_config import RunConfig, parse_config
from polyscale.dataset.panel import Panel, build_panel
from polyscale.dataset.split import Boundaries, split
from polyscale.features.context import Context
from polyscale.forecast.export import OnnxFiles, export_model
from polyscale.market.errors import HistoryError, RunError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.model.network import MultiScaleAttention
from polyscale.pipeline.calibrate import calibrate
from polyscale.pipeline.judge import forecast_panel, judge
from polyscale.pipeline.learn import Prepared, learn, panel_of, panels_beside, spec_of, splits_of
from polyscale.pipeline.load import SymbolBars, describe_version, fingerprint, symbols_of_context
from polyscale.pipeline.provenance import provenance
from polyscale.pipeline.publish import write_report
from polyscale.pipeline.tell import PORTFOLIO, metrics_of, money_of, portfolio_dict, study_dict
from polyscale.pipeline.trading import exchange_of, study_of, trade, trade_portfolio
from polyscale.report.page import SymbolReport
from polyscale.runs.folder import RunFolder, State
from polyscale.store.store import DataVersion
from polyscale.strategy.span import bars_of_test
from polyscale.training.model_file import Model, load_model, save_model
from polyscale.training.progress import EpochReport


class Observer(Protocol):
    """Who wants to see how far a run is."""

    def stage(self, text: str) -> None:
        """A stage begins."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch of training has ended."""


class Silent:
    """Sees nothing."""

    def stage(self, text: str) -> None:
        """Pass."""

    def epoch(self, report: EpochReport) -> None:
        """Pass."""


@dataclass(frozen=True, eq=False)
class Run:
    """A trained model with its config and its folder."""

    folder: RunFolder
    config: RunConfig
    model: Model

    def predict(
        self,
        bars: pl.DataFrame,
        native: Mapping[Timeframe, pl.DataFrame] | Mapping[str, pl.DataFrame] | None = None,
        context: Context | None = None,
        *,
        in_sample: bool = False,
    ) -> Forecast:
        """Forecast at every origin after the run's validation where the inputs are known.

        Parameters
        ----------
        bars
            Checked base bars, oldest first; the base forecast is fitted on them as they come, so give as much
            history as there is (at least ``data.base_forecast.min_days`` and a week).
        native
            Stored bars of coarser timeframes, for scales with ``native_history``.
        context
            Funding and other symbols' bars, for features that look at them. A network that attends across
            symbols needs the bars of all other symbols of the run, with their funding and native bars if it
            needs those of ``bars``.
        in_sample
            Forecast at the origins of training and validation as well: a backtest of those is worth nothing.

        Raises
        ------
        HistoryError
            If there is no such origin.
        ConfigError
            If the network attends across symbols, and others than the run's other symbols are given.
        """
        by_timeframe = {Timeframe.parse(key): frame for key, frame in (native or {}).items()}
        known = context or Context()
        panel = build_panel(self.config.market.symbols[0], bars, self.config.data, by_timeframe, known)
        seen = panel.time_ms <= self.boundaries.validate_end
        origins = panel.usable & (in_sample | ~seen)
        if not origins.any():
            end = np.datetime64(self.boundaries.validate_end, "ms")
            raise HistoryError(
                f"a forecast out of sample needs bars after {end}, where the run's validation ends, found "
                "none with known inputs; give later bars, or in_sample=True"
            )
        return forecast_panel(self.model, panel, origins, self._beside(bars, by_timeframe, known))

    def _beside(
        self, bars: pl.DataFrame, native: Mapping[Timeframe, pl.DataFrame], context: Context
    ) -> list[Panel]:
        """Panels of the other symbols, if the network attends to them."""
        if not self.config.network.across_symbols:
            return []
        item, *others = symbols_of_context(self.config, bars, native, context)
        return panels_beside(item, [item, *others], self.config)

    def export(self, folder: str | Path | None = None) -> OnnxFiles:
        """Write the network as ONNX, for programs that have neither polyscale nor torch.

        Parameters
        ----------
        folder
            Absent: ``onnx/`` in the run's own folder.

        Returns
        -------
        OnnxFiles
            ``window`` (the rows that a forecast looks back on), ``step`` (one new bar and what was carried)
            and ``facts``, JSON that says what to feed and what comes out.

        Raises
        ------
        ConfigError
            If the packages of the extra ``onnx`` are not installed.
        """
        return export_model(self.model, Path(folder) if folder is not None else self.folder.path / "onnx")

    @property
    def boundaries(self) -> Boundaries:
        """Where the run's parts end."""
        kept = self.folder.read_json("split.json")
        try:
            return Boundaries(int(kept["train_end"]), int(kept["validate_end"]), int(kept["test_end"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{self.folder.path}/split.json: must hold the ends of the parts, lacks {error}; train again"
            ) from error


def start(config: RunConfig, symbols: list[SymbolBars], version: DataVersion | None, runs: Path) -> RunFolder:
    """Make the folder of a new run, with all that it depends on."""
    text = config.to_yaml()
    about = {
        "config_sha256": _sha256(text),
        **provenance(config.training.threads, config.seed),
        "data": {**describe_version(config, version), "sha256": fingerprint(symbols)},
    }
    return RunFolder.create(runs, config.name, text, about)


def train(
    folder: RunFolder,
    config: RunConfig,
    prepared: Prepared,
    observer: Observer,
    *,
    resume: bool = False,
) -> Run:
    """Learn, and keep the model; a folder whose training was cut off goes on with ``resume``."""
    counts = {
        part: sum(int(getattr(s, part).sum()) for s in prepared.splits)
        for part in ("train", "validate", "test")
    }
    size = MultiScaleAttention(spec_of(config)).num_parameters
    observer.stage(
        f"training {size:,} parameters on {counts['train']:,} origins, validating on {counts['validate']:,}"
    )
    checkpoints = folder.path / "checkpoints"
    model, history = learn(config, prepared, checkpoints, resume=resume, progress=observer.epoch)
    calibrate(model, prepared)
    save_model(model, folder.path)
    folder.write_json("history.json", [asdict(report) for report in history])
    folder.write_json("split.json", {**asdict(prepared.ends), "origins": counts})
    folder.set_state(State.TRAINED)
    shutil.rmtree(checkpoints)
    return Run(folder, config, model)


def evaluate(
    run: Run, symbols: list[SymbolBars], prepared: Prepared, observer: Observer
) -> list[SymbolReport]:
    """Judge the test of every symbol, keep forecasts and figures, write the report."""
    observer.stage("forecasts, backtest and evaluation of the test")
    outcomes = [
        judge(run.config, run.model, panel, part.test, item, prepared.beside(panel))
        for panel, part, item in zip(prepared.panels, prepared.splits, symbols, strict=True)
        if part.test.any()
    ]
    for outcome in outcomes:
        keep_forecast(run.folder, outcome.symbol, outcome.forecast)
        keep_ledger(run.folder, outcome.symbol, outcome.strategy)
    portfolio = None
    if run.config.portfolio is not None:
        tested = [item for item in symbols if not item.lesson]
        forecasts = {outcome.symbol: outcome.forecast for outcome in outcomes}
        portfolio = trade_portfolio(run.config, run.config.portfolio, forecasts, tested)
        keep_ledger(run.folder, PORTFOLIO, portfolio.result)
    run.folder.write_json("metrics.json", metrics_of(outcomes, portfolio))
    observer.stage("report")
    write_report(run.folder, run.config, outcomes, portfolio)
    run.folder.set_state(State.COMPLETE)
    return outcomes


def load_run(path: Path) -> Run:
    """Open the folder of a trained run.

    Raises
    ------
    RunError
        If it is no run folder, damaged, of a newer version, or made with other features; or not trained yet.
    """
    folder = RunFolder.open(path)
    config = read_run_config(folder)
    if folder.state is State.TRAINING:
        raise RunError(
            f"{path}: its training has not ended; finish it with `polyscale train --resume {path.name}`"
        )
    return Run(folder, config, load_model(folder.path))


def read_run_config(folder: RunFolder) -> RunConfig:
    """The config that a run was started with; `RunError` if it was changed since."""
    text, path = folder.read_text("config.yaml"), folder.path / "config.yaml"
    then = folder.about.get("config_sha256")
    if _sha256(text) != then:
        raise RunError(
            f"{path}: must be what the run was started with (sha256 {then}), it was changed; start a new run"
        )
    return parse_config(text, str(path))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def again(run: Run, symbols: list[SymbolBars]) -> Prepared:
    """The panels of a trained run again, with the parts that it was trained on."""
    ends = run.boundaries
    panels = [panel_of(item, symbols, run.config) for item in symbols]
    return Prepared(panels, splits_of(symbols, panels, lambda panel: split(panel, ends)), ends)


def trade_again(run: Run, symbols: list[SymbolBars]) -> dict[str, dict[str, Any]]:
    """Forecast and trade the test of a trained run again; measures of strategy and buy-and-hold by symbol."""
    prepared, measures = again(run, symbols), {}
    forecasts: dict[str, Forecast] = {}
    for item, panel, part in zip(symbols, prepared.panels, prepared.splits, strict=True):
        if not part.test.any():
            continue
        forecast = forecast_panel(run.model, panel, part.test, prepared.beside(panel))
        forecasts[item.symbol] = forecast
        bars = bars_of_test(item.bars, forecast)
        exchange = exchange_of(run.config, bars, item)
        strategy, hold = trade(run.config, exchange, forecast, bars)
        keep_forecast(run.folder, item.symbol, forecast)
        keep_ledger(run.folder, item.symbol, strategy)
        looked_into = study_of(run.config, exchange, forecast, bars)
        measures[item.symbol] = {
            "strategy": money_of(strategy),
            "buy_and_hold": money_of(hold),
            "study": study_dict(looked_into),
        }
    if run.config.portfolio is not None:
        tested = [item for item in symbols if not item.lesson]
        portfolio = trade_portfolio(run.config, run.config.portfolio, forecasts, tested)
        keep_ledger(run.folder, PORTFOLIO, portfolio.result)
        measures[PORTFOLIO] = portfolio_dict(portfolio)
    return measures


def keep_forecast(folder: RunFolder, symbol: str, forecast: Forecast, where: str = "forecasts") -> Path:
    """Write a symbol's forecasts into the run: those of the test, or under another name."""
    path = folder.path / where / f"{symbol}.parquet"
    path.parent.mkdir(exist_ok=True)
    forecast.write_parquet(path)
    return path


def keep_ledger(folder: RunFolder, name: str, result: BacktestResult) -> None:
    """Write an account into the run: its ledger, holdings, fills and trades."""
    for what in ("ledger", "holdings", "fills", "trades"):
        path = folder.path / what / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        getattr(result, what).write_parquet(path)


def newest(forecast: Forecast) -> Forecast:
    """The last origin alone."""
    return forecast.at(np.array([len(forecast) - 1]))
