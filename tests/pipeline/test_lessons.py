"""Markets that are learned from and no more."""

import numpy as np
import pytest

from polyscale.config.run_config import parse_config
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.job import begin
from polyscale.pipeline.learn import prepare
from polyscale.pipeline.load import context_of, given_symbols, load_symbols
from polyscale.pipeline.run import Silent, again, evaluate, trade_again
from polyscale.pipeline.search import cut_off, fold_of, prepare_until
from polyscale.store.store import Store

TEXT = """
name: lessons
market:
  symbols: [AAA]
  funding: assumed
  learn_from: [{venue: other, category: spot, symbols: [AAA, BBB]}]
data:
  scales: [{timeframe: 15m, lookback: 16}, {timeframe: 1h, lookback: 8}]
  horizons: [1h, 4h]
  base_forecast: {window_days: 15, min_days: 5}
split: {train_share: 0.6, validate_share: 0.2}
network: {d_model: 8, cross_heads: 2, encoders: [{layers: 1, heads: 2}, {layers: 1, heads: 2}]}
training: {epochs: 1, stretch: 128}
backtest: {fee_bps: 5, slippage_bps: 1, assumed_funding_8h: 0.0001}
evaluation: {num_bootstrap: 200}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    held = Store(tmp_path_factory.mktemp("store"))
    for seed, market in enumerate(
        [Market("bybit", "linear", "AAA"), Market("other", "spot", "AAA"), Market("other", "spot", "BBB")]
    ):
        bars = simulate_bars(SimulationSettings(days=40, timeframe=Timeframe(15), seed=seed))
        held.write_bars(market, Timeframe(15), bars)
    return held


def test_lessons_have_training_alone_and_the_split_is_that_of_the_tested(store):
    config = parse_config(TEXT, "t")
    symbols = load_symbols(config, store)
    assert [item.symbol for item in symbols] == ["AAA", "other/spot/AAA", "other/spot/BBB"]
    prepared = prepare(config, symbols)
    assert [part.test.any() for part in prepared.splits] == [True, False, False]
    assert [part.validate.any() for part in prepared.splits] == [True, False, False]
    assert all(part.train.any() for part in prepared.splits)
    for panel, part in zip(prepared.panels, prepared.splits, strict=True):
        ended = panel.time_ms[part.train] + panel.targets.horizons[-1].ms
        assert (ended <= prepared.ends.train_end).all()
    alone = parse_config(TEXT.replace("  learn_from", "  # learn_from"), "t")
    assert prepare(alone, load_symbols(alone, store)).ends == prepared.ends


def test_lessons_do_not_validate_the_trials_of_a_search(store):
    config = parse_config(TEXT, "t")
    symbols = load_symbols(config, store)
    fold = fold_of(config, symbols)
    prepared = prepare_until(config, cut_off(symbols, fold.ends.validate_end), fold)
    assert [part.validate.any() for part in prepared.splits] == [True, False, False]
    assert all(part.train.any() for part in prepared.splits)


def test_a_symbols_market_is_its_own_venue(store):
    symbols = load_symbols(parse_config(TEXT, "t"), store)
    assert context_of(symbols[0], symbols).others == {}
    assert list(context_of(symbols[1], symbols).others) == ["other/spot/BBB"]


def test_a_run_learns_from_them_and_judges_the_tested_alone(store, tmp_path):
    config = parse_config(TEXT, "t")
    job = begin(config, store, tmp_path / "runs", Silent())
    run = job.train(Silent())
    outcomes = evaluate(run, job.symbols, job.prepared, Silent())
    assert [outcome.symbol for outcome in outcomes] == ["AAA"]
    assert list(trade_again(run, job.symbols)) == ["AAA"]
    rows = [part.train for part in again(run, job.symbols).splits]
    assert [r.sum() for r in rows] == [part.train.sum() for part in job.prepared.splits]
    alone = parse_config(TEXT.replace("  learn_from", "  # learn_from"), "t")
    other = begin(alone, store, tmp_path / "runs", Silent()).train(Silent())
    ours, theirs = (dict(each.model.network.named_parameters()) for each in (run, other))
    assert any(not np.array_equal(ours[n].detach(), theirs[n].detach()) for n in ours)


def test_what_cannot_be_a_lesson_is_refused(store):
    with pytest.raises(ConfigError, match="must not repeat a market"):
        parse_config(TEXT.replace("venue: other, category: spot", "venue: bybit, category: linear"), "t")
    bars = simulate_bars(SimulationSettings(days=1, timeframe=Timeframe(15)))
    with pytest.raises(ConfigError, match="learn_from reads the store"):
        given_symbols({"AAA": bars}, parse_config(TEXT, "t"))
    assert load_symbols(parse_config(TEXT, "t"), store)[1].lesson
    across = TEXT.replace("network: {", "network: {across_symbols: true, ")
    with pytest.raises(ConfigError, match="takes neither"):
        parse_config(across, "t")
