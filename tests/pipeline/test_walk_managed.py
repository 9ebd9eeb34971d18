"""Managed holding in a walk-forward: the size that each hand's forecast asks for, where all of them know."""

from dataclasses import replace

import numpy as np
import pytest

from polyscale.config.run_config import parse_config
from polyscale.evaluation.trading.managed import CONSTANT, compare_managed
from polyscale.market.bars import Market
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.trading import account_settings, exchange_of
from polyscale.pipeline.walk.assemble import OWN
from polyscale.pipeline.walk.managed import managed_of
from polyscale.strategy.span import bars_of_test
from tests.report.walk_sample import CONFIG, RIVALS, track

DAYS = 12


@pytest.fixture(scope="module")
def told():
    """A track whose base forecast is not known at first, and the comparisons of it."""
    own = track("AAA", 1, RIVALS, {}, 0.42, DAYS)
    base = own.entries["base"]
    late = np.where(np.arange(len(base.log_variance))[:, None] < 30, np.nan, base.log_variance)
    own = replace(own, entries=own.entries | {"base": replace(base, log_variance=late)})
    item = SymbolBars(Market("sim", "spot", "AAA"), simulate_bars(SimulationSettings(days=DAYS, seed=1)))
    config = parse_config(CONFIG, "test")
    return own, item, config, managed_of(own, item, config)


def test_every_horizon_is_held_where_all_forecasts_are_known(told):
    own, item, config, found = told
    account = account_settings(config)
    exchange = exchange_of(config, bars_of_test(item.bars, own.forecast), item)
    for h, (horizon, every, num_bars) in enumerate([("1h", "1h", 12), ("4h", "4h", 48), ("1d", "1d", 288)]):
        volatilities = {
            name: np.sqrt(np.exp(own.entries[name].log_variance[30:, h]) * num_bars)
            for name in (OWN, "log-HAR", "base")
        }
        wanted = compare_managed(
            exchange,
            own.forecast.close_time[30:],
            volatilities,
            Timeframe.parse(horizon),
            config.managed.model_copy(update={"every": Timeframe.parse(every)}),
            account,
            config.evaluation,
        )
        assert list(found[h].accounts) == [OWN, "log-HAR", "base", CONSTANT]
        for name, one in wanted.accounts.items():
            assert found[h].accounts[name].turnover == pytest.approx(one.turnover, rel=1e-9)
            assert found[h].accounts[name].mean_target == pytest.approx(one.mean_target, rel=1e-9)


def test_missing_funding_is_a_reason(told):
    own, item, config, _ = told
    perpetual = replace(item, market=Market("sim", "linear", "AAA"))
    costs = config.backtest.model_copy(update={"assumed_funding_8h": None})
    linear = config.market.model_copy(update={"category": "linear"})
    said = managed_of(own, perpetual, config.model_copy(update={"backtest": costs, "market": linear}))
    assert isinstance(said, str)
    assert "funding is missing" in said
