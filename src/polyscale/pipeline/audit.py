"""A trained run under audit: bars to forecasts, forecasts to positions, frozen and online fits, the split.

In: a run and what it was made from. Out: an `Audit`. The weights are frozen; what is asked is whether any
input of any origin, any forecast, position or fitted number moves when only its future does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
import polars as pl
import torch

from polyscale.audit import Audit, Finding, Plan, check, check_frozen_fit, check_online_fit, check_purge
from polyscale.audit.record import Record
from polyscale.base.regressors import base_regressors
from polyscale.base.rolling import Loss, rolling_forecast
from polyscale.config.run_config import RunConfig
from polyscale.dataset.panel import Panel, memory_bars
from polyscale.dataset.scaling import Scaler
from polyscale.dataset.split import split
from polyscale.market.instant import time_of
from polyscale.market.position import LEVELS
from polyscale.market.timeframe import DAY_MS
from polyscale.pipeline.chain import FORECAST, Chain
from polyscale.pipeline.judge import forecast_panel
from polyscale.pipeline.learn import Prepared, fit_scalers
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.run import Observer, Run, again
from polyscale.report.badge import set_badge
from polyscale.runs.folder import RunFolder
from polyscale.strategy.decide import decide

_FLOAT32: Final = 1e-4  # of a forecast: what a stretch of another length leaves of its digits
_SAME: Final = 1e-6  # of a scaler's numbers: another machine rounds otherwise
_STORED: Final = "as fitted"
_WHOLE_CUTS: Final = 3
_FITTED_DAYS: Final = 45  # newest days on which the online fit is run
_AFTER_TRAINING: Final = timedelta(days=30)  # what the frozen fit is shown beyond its rows


class Depth(StrEnum):
    """How much of a run is asked."""

    FULL = "every row at three of them"  # and forecasts to positions, frozen and online fits, the split
    NEWEST = "newest rows"  # and the split: seconds


def audit_run(
    run: Run, symbols: list[SymbolBars], observer: Observer, cuts: int = 200, depth: Depth = Depth.FULL
) -> Audit:
    """Audit every symbol of a run.

    Parameters
    ----------
    symbols
        What the run was made from.
    cuts
        Instants at which the future is taken away and wrecked: at three of them every row is compared, at
        the rest the newest ones.
    """
    with _one_thread_of_torch():
        audits = [
            audit
            for item in symbols
            if not item.lesson
            for audit in _symbol(run, item, symbols, observer, cuts, depth)
        ]
    first, *others = audits
    if depth is Depth.FULL:
        others.append(_stored_scalers(run, symbols).named("stored scalers"))
    return first.join(*others)


def _symbol(
    run: Run, item: SymbolBars, symbols: list[SymbolBars], observer: Observer, cuts: int, depth: Depth
) -> Iterator[Audit]:
    """One audit after the other, each with the name of what it is of."""
    chain = Chain(run, item, symbols)
    panel = chain.panel(item.bars, chain.sources)
    observer.stage(f"look-ahead audit of {item.symbol}: bars to forecasts, {cuts} cuts")
    yield _chain(run, item, chain, cuts, depth).named(f"{item.symbol}: bars to forecasts")
    yield _split(run, panel).named(f"{item.symbol}: split")
    if depth is Depth.FULL:
        observer.stage(f"look-ahead audit of {item.symbol}: positions and fits")
        yield _positions(run, panel, chain.beside(item.bars, chain.sources)).named(
            f"{item.symbol}: forecasts to positions"
        )
        yield _scalers(run, item, chain).named(f"{item.symbol}: frozen scalers")
        yield _base(run.config, panel).named(f"{item.symbol}: online base forecast")


@contextmanager
def _one_thread_of_torch() -> Iterator[None]:
    """The runs share the cores; torch's own threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_audit(folder: RunFolder, audit: Audit, cuts: int, depth: Depth) -> None:
    """Write audit.json, and set the badge of the report where there is one."""
    told = {"made_at": datetime.now(UTC).isoformat(timespec="seconds"), "cuts": cuts, "depth": depth.value}
    folder.write_json("audit.json", {**told, **audit.to_dict()})
    if (folder.path / "report.html").is_file():
        page = set_badge(folder.read_text("report.html"), folder.read_json("audit.json"))
        folder.write_text("report.html", page)


def _chain(run: Run, item: SymbolBars, chain: Chain, cuts: int, depth: Depth) -> Audit:
    data, whole = run.config.data, min(cuts, _WHOLE_CUTS) if depth is Depth.FULL else 0
    plan = Plan(
        whole_cuts=whole,
        newest_cuts=cuts - whole,
        truncations=0,
        relative_of={FORECAST: _FLOAT32},
        threads=pl.thread_pool_size(),
    )
    return check(
        chain.rows, item.bars, chain.sources, newest=chain.newest, memory=memory_bars(data), plan=plan
    )


def _positions(run: Run, panel: Panel, others: list[Panel]) -> Audit:
    """The strategy carries targets forward over all closes: forecasts are cut, lost and exchanged."""
    forecast = forecast_panel(run.model, panel, panel.usable, others)
    traded = panel.bars.select("close_time", "high", "low", "close").filter(panel.traded)
    made = forecast.to_frame().select("close_time").with_row_index("forecast")
    closes = traded.join(made, on="close_time", how="left", maintain_order="left")

    def stage(closes: pl.DataFrame) -> pl.DataFrame:
        there = closes.filter(pl.col("forecast").is_not_null())
        origins = there["close_time"].dt.replace_time_zone(None).to_numpy()
        given = replace(forecast.at(there["forecast"].to_numpy()), close_time=origins)
        held = decide(given, run.config.strategy, run.config.backtest.round_trip_cost, closes)
        levels = {name: held.level(name) for name in LEVELS}
        return closes.select("close_time", position=pl.Series(held.target), **levels).with_columns(
            pl.col(LEVELS).fill_nan(None)
        )

    return check(stage, closes, plan=Plan(truncations=0))


def _scalers(run: Run, item: SymbolBars, chain: Chain) -> Audit:
    """Medians and spreads, fitted again beside a future that is wrecked."""
    train_end = time_of(run.boundaries.train_end)
    bars = item.bars.filter(pl.col("close_time") <= train_end + _AFTER_TRAINING)

    def fit(bars: pl.DataFrame, **sources: pl.DataFrame) -> dict[str, Any]:
        panel = chain.panel(bars, sources)
        prepared = Prepared([panel], [split(panel, run.boundaries)], run.boundaries)
        fitted = _by_scale(run.config, *fit_scalers(prepared, run.config.data))
        return {name: scaler.model_dump() for name, scaler in fitted.items() if scaler is not None}

    return check_frozen_fit(fit, bars, train_end, chain.sources)


def _stored_scalers(run: Run, symbols: list[SymbolBars]) -> Audit:
    """The model's own scalers must be those of the training rows of all symbols."""
    facts, record = run.model.facts, Record((_STORED,))
    fitted = _by_scale(run.config, *fit_scalers(again(run, symbols), run.config.data))
    stored = _by_scale(run.config, facts.feature_scalers, facts.origin_scaler)
    for name, scaler in fitted.items():
        record.compared(_STORED, 1, cuts=0)
        if _differ(scaler, stored[name]):
            note = "the model's scaler is not that of its training rows"
            record.find(Finding(_STORED, name, None, None, note=note))
    return record.audit()


def _by_scale(
    config: RunConfig, per_scale: tuple[Scaler | None, ...], origin: Scaler
) -> dict[str, Scaler | None]:
    """Scalers by the name of what they scale."""
    names = [*(scale.name for scale in config.data.scales), "origin"]
    return dict(zip(names, [*per_scale, origin], strict=True))


def _differ(a: Scaler | None, b: Scaler | None) -> bool:
    if a is None or b is None:
        return a is not b
    return not np.allclose((a.median, a.spread), (b.median, b.spread), rtol=_SAME)


def _base(config: RunConfig, panel: Panel) -> Audit:
    """The daily regression of the longest horizon, whose labels end last."""
    data, horizon = config.data, config.data.horizons[-1]
    newest = panel.time_ms > panel.time_ms[-1] - _FITTED_DAYS * DAY_MS
    regressors = base_regressors(panel.bars, data.base)[newest]
    names = [f"regressor {k}" for k in range(regressors.shape[1])]
    time = panel.bars["close_time"].filter(newest)
    labels = pl.DataFrame(regressors, schema=names).with_columns(
        time=time,
        label_end=time + timedelta(minutes=horizon.minutes),
        label=panel.targets.log_variance[newest, -1],
    )
    usual = data.base_forecast.model_copy(update={"min_days": min(data.base_forecast.min_days, 14)})

    def fit(labels: pl.DataFrame) -> pl.DataFrame:
        label = labels["label"].fill_null(np.nan).to_numpy()[:, None]
        known = labels.select(names).fill_null(np.nan).to_numpy()
        time_ms = labels["time"].dt.epoch("ms").to_numpy()
        found = rolling_forecast(known, label, time_ms, (horizon,), usual, Loss.HUBER)
        return labels.select("time", forecast=pl.Series(found[:, 0]))

    return check_online_fit(fit, labels, known_at_time=names, plan=Plan(newest_cuts=20))


def _split(run: Run, panel: Panel) -> Audit:
    parts = split(panel, run.boundaries)
    longest = timedelta(minutes=panel.targets.horizons[-1].minutes)
    time = panel.bars["close_time"]
    rows = [
        pl.DataFrame({"time": time.filter(mask), "label_end": time.filter(mask) + longest}).with_columns(
            part=pl.lit(name)
        )
        for name, mask in (("train", parts.train), ("validate", parts.validate), ("test", parts.test))
    ]
    return check_purge(pl.concat(rows))
