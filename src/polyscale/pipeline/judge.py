"""What a model's forecasts were worth in the test: beside the baselines, and in money after costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyscale.backtesting.funding import funding_rates
from polyscale.base.forecasts import last_value, log_har
from polyscale.config.run_config import RunConfig
from polyscale.dataset.panel import Panel
from polyscale.evaluation.scorecard import Scorecard, score
from polyscale.forecast.predict import predict
from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.trading import account_settings, exchange_of, study_of, trade
from polyscale.report.page import SymbolReport
from polyscale.strategy.span import bars_of_test
from polyscale.training.batches import Part
from polyscale.training.model_file import Model

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def forecast_panel(model: Model, panel: Panel, origins: Bools, others: Sequence[Panel] = ()) -> Forecast:
    """Forecast at the given origins [T] of a panel; ``others`` as in `part_of`."""
    return predict(model.network, panel, part_of(model, panel, origins, others))


def part_of(model: Model, panel: Panel, origins: Bools, others: Sequence[Panel] = ()) -> Part:
    """What the network reads to forecast at the given origins [T] of a panel.

    Parameters
    ----------
    others
        Panels of the other symbols; read by a network that attends across symbols, and by no other.
    """
    heard = others if model.facts.spec.settings.across_symbols else ()
    scaled = [model.facts.scale(each) for each in (panel, *heard)]
    counted = [origins, *(np.zeros(len(each.time_ms), dtype=bool) for each in heard)]
    return Part(scaled, counted, model.facts.data, grouped=model.facts.spec.settings.across_symbols)


def judge(
    config: RunConfig,
    model: Model,
    panel: Panel,
    origins: Bools,
    item: SymbolBars,
    others: Sequence[Panel] = (),
) -> SymbolReport:
    """Forecast, score and trade the test origins of one symbol; ``others`` as in `part_of`."""
    forecast = forecast_panel(model, panel, origins, others)
    bars = bars_of_test(item.bars, forecast)
    exchange = exchange_of(config, bars, item)
    strategy, hold = trade(config, exchange, forecast, bars)
    scorecard = judge_forecast(config, model, panel, origins, forecast)
    looked_into = study_of(config, exchange, forecast, bars)
    return SymbolReport(item.symbol, bars, forecast, scorecard, strategy, hold, looked_into)


def check_tradable(config: RunConfig, item: SymbolBars, panel: Panel, origins: Bools) -> None:
    """Raise `DataError` if funding does not cover the test, or is missing: before training, not after it."""
    first, last = panel.time_ms[origins][[0, -1]]
    close_ms = item.bars["close_time"].dt.epoch("ms").to_numpy()
    open_ms = close_ms[(close_ms >= first) & (close_ms <= last)] - config.data.base.ms
    if len(open_ms) < 2:
        return
    try:
        assumed = account_settings(config).assumed_funding_8h
        funding_rates(item.funding, open_ms, len(open_ms), assumed)
    except DataError as error:
        remedy = (
            "; import the missing rates, or set market.funding to assumed" if item.funding is not None else ""
        )
        raise DataError(f"{item.symbol}: {error}{remedy}") from error


def judge_forecast(
    config: RunConfig, model: Model, panel: Panel, origins: Bools, forecast: Forecast
) -> Scorecard:
    """Score the origins on the evaluation's grid against base, reference log-HAR and last value."""
    every, base = config.evaluation.every, config.data.base
    judged = panel.time_ms[origins] % every.ms == every.offset_ms % every.ms
    rows = np.flatnonzero(origins)[judged]
    baselines = {
        "base": panel.base[rows],
        "log-HAR": log_har(panel.bars, base, panel.targets, config.data.base_forecast)[rows],
        "last value": last_value(panel.bars, panel.targets)[rows],
    }
    kept = forecast.at(judged)
    base_quantiles = model.network.heads.base_quantiles.double().numpy()
    return score(
        kept,
        panel.targets.log_variance[rows],
        panel.targets.log_return[rows],
        baselines,
        base_quantiles * kept.base_volatility[..., None],
        bars_per_horizon=panel.targets.bars_ahead,
        step_bars=base.bars_in(every),
        settings=config.evaluation,
    )
