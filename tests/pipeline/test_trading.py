"""What a run trades: the study of its strategy, all symbols on one account, funding that must be there."""

import sys

import numpy as np
import polars as pl
import pytest

import polyscale
from polyscale.backtesting.settings import BacktestSettings
from polyscale.config.run_config import parse_config
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.trading.compare import COMBINED, HOLD, MANAGED
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.order_rules import OrderRules
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.job import begin
from polyscale.pipeline.learn import prepare
from polyscale.pipeline.load import load_symbols
from polyscale.pipeline.run import Silent, evaluate, start, train
from polyscale.pipeline.trading import account_settings
from polyscale.runs.folder import RunFolder
from polyscale.store.store import Store
from polyscale.strategy.portfolio import PortfolioSettings
from polyscale.strategy.settings import StrategySettings
from tests.pipeline.small import believed, small
from tests.strategy.test_portfolio import forecast_of

UNFUNDED = small().replace(", assumed_funding_8h: 0.0001", "")
HOUR, DAY = Timeframe(60), Timeframe(1440)
COSTS = BacktestSettings(fee_bps=5, slippage_bps=1, assumed_funding_8h=1e-4)
RULES = StrategySettings(horizon="4h", confidence=0.5, edge_over_cost=0.0)
JUDGED = EvaluationSettings(num_bootstrap=200, num_random=50)
TWO = (
    small(days=40)
    .replace("symbols: [SIM]", "symbols: [AAA, BBB]")
    .replace(
        "evaluation:",
        """portfolio:
  sleeves:
    - {strategy: {horizon: 1h, confidence: 0.5, edge_over_cost: 0}, share: 0.5}
    - {strategy: {horizon: 4h, confidence: 0.5, edge_over_cost: 0, every: 4h}, share: 0.5}
  gross: 0.8
  target_volatility: 0.4
evaluation:""",
    )
    .replace("num_bootstrap: 200", "num_bootstrap: 200, num_random: 50")
)


@pytest.fixture(scope="module")
def run_of_two(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    config = parse_config(TWO, "two")
    symbols = load_symbols(config, Store(runs / "store"))
    prepared = prepare(config, symbols)
    run = believed(train(start(config, symbols, None, runs), config, prepared, Silent()))
    return run, evaluate(run, symbols, prepared, Silent())


def made_up(seed=1, days=40):
    bars = simulate_bars(SimulationSettings(days=days, timeframe=HOUR, seed=seed))
    prob_up = 0.5 + 0.2 * np.sin(np.arange(bars.height) / 7 + seed)
    return forecast_of(bars, prob_up), bars


def compared(forecast, bars, rules):
    forecasts, frames = {"A": forecast}, {"A": bars}
    return polyscale.compare_scale_strategies(forecasts, frames, "1h", rules, COSTS, judged=JUDGED)


def test_a_run_of_two_symbols_trades_them_on_one_account_as_well(run_of_two):
    run, outcomes = run_of_two
    metrics = run.folder.read_json("metrics.json")
    assert list(metrics) == ["AAA", "BBB", "portfolio"]
    told = metrics["portfolio"]
    assert set(told["mean_target_by_sleeve"]) == {"1h", "4h"}
    assert set(told["mean_target_by_symbol"]) == {"AAA", "BBB"}
    assert told["strategy"]["n_trades"] > 2
    ledger = pl.read_parquet(run.folder.path / "ledger" / "portfolio.parquet")
    assert ledger["equity"][-1] / 10_000 - 1 == pytest.approx(told["strategy"]["total_return"])
    held = pl.read_parquet(run.folder.path / "holdings" / "portfolio.parquet")
    value = (
        held.with_columns(value=pl.col("units") * pl.col("price"))
        .group_by("close_time")
        .agg(pl.col("value").sum(), gross=pl.col("value").abs().sum())
        .sort("close_time")
    )
    np.testing.assert_allclose(ledger["cash"] + value["value"], ledger["equity"], rtol=1e-9)
    assert 0 < (value["gross"] / ledger["equity"]).max() < 0.9  # gross of 0.8 and what it drifts
    assert all(outcome.bars.height for outcome in outcomes)


def test_a_run_keeps_a_study_of_its_strategy(run_of_two):
    run, _ = run_of_two
    metrics = run.folder.read_json("metrics.json")["AAA"]
    told = metrics["study"]
    assert list(told["lines"]) == ["1h", "4h", COMBINED, HOLD, MANAGED]
    assert told["traded"] == "4h"
    assert told["significance"]["sharpe"]["num_trials"] == 1 + 2 * 4 * 3 * 3
    assert told["lines"]["4h"]["total_return"] == metrics["strategy"]["total_return"]
    assert len(told["by_month"]) >= 1
    # always in the market: its stays have one order only
    assert told["random_entries"]["reason"] or told["random_entries"]["num_draws"] == 50


def test_trading_again_gives_the_same_figures(run_of_two):
    from polyscale.pipeline.run import trade_again

    run, _ = run_of_two
    symbols = load_symbols(run.config, Store("nowhere"))
    again, then = trade_again(run, symbols), run.folder.read_json("metrics.json")
    for symbol in ("AAA", "BBB"):
        for what in ("strategy", "buy_and_hold", "study"):
            assert again[symbol][what] == then[symbol][what]
    assert again["portfolio"] == then["portfolio"]


def test_a_run_without_funding_is_refused_before_it_trains(tmp_path):
    with pytest.raises(DataError, match=r"SIM: funding is missing.*assumed_funding_8h"):
        begin(parse_config(UNFUNDED, "unfunded"), Store(tmp_path / "store"), tmp_path / "runs", Silent())
    assert not (tmp_path / "runs").exists()


def test_a_run_without_its_optimiser_is_refused_before_it_trains(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio", None)
    config = parse_config(TWO.replace("  gross: 0.8", "  gross: 0.8\n  allocation: risk_budgeting"), "two")
    with pytest.raises(ConfigError, match=r"pip install polyscale\[portfolio\]"):
        begin(config, Store(tmp_path / "store"), tmp_path / "runs", Silent())
    assert not (tmp_path / "runs").exists()


def test_a_spot_market_pays_no_funding():
    spot = UNFUNDED.replace("source: simulated,", "source: simulated, category: spot,")
    assert account_settings(parse_config(spot, "spot")).assumed_funding_8h == 0.0
    assert account_settings(parse_config(small(), "linear")).assumed_funding_8h == 1e-4


def test_scales_are_compared_from_python():
    forecasts, bars = {}, {}
    for seed, symbol in enumerate(("AAA", "BBB")):
        forecasts[symbol], bars[symbol] = made_up(seed)
    found = polyscale.compare_scale_strategies(forecasts, bars, "1h", RULES, COSTS, judged=JUDGED)
    assert [line.name for line in found.lines] == ["4h", "1d", COMBINED, HOLD, MANAGED]
    hold = found.line(HOLD)
    assert [p.target.tolist() for p in hold.positions.values()] == [[0.5], [0.5]]
    assert hold.over_hold.mean == 0.0
    alone = [polyscale.backtest(forecasts[s], bars[s], "1h", RULES, COSTS, None) for s in bars]
    assert found.line("4h").result.n_trades == sum(each.n_trades for each in alone)


def test_the_combination_is_the_mean_of_the_horizons():
    forecast, bars = made_up()
    found = compared(forecast, bars, RULES)
    one, other, both = (found.line(name).positions["A"].target for name in ("4h", "1d", COMBINED))
    np.testing.assert_allclose(both, (one + other) / 2)


def test_positions_with_levels_have_no_combination_and_it_says_why():
    forecast, bars = made_up()
    rules = RULES.model_copy(update={"stop_loss": 1.0})
    found = compared(forecast, bars, rules)
    assert COMBINED not in [line.name for line in found.lines]
    with pytest.raises(DataError, match="no line combined: positions with a limit, stop"):
        found.line(COMBINED)


def test_a_study_from_python_asks_everything_and_is_the_same_twice():
    forecast, bars = made_up()
    studies = [
        polyscale.study_strategy(forecast, bars, "1h", RULES, COSTS, judged=JUDGED, symbol="A").to_dict()
        for _ in range(2)
    ]
    assert studies[0] == studies[1]
    assert studies[0]["break_even_bps"]["value"] is None or studies[0]["break_even_bps"]["value"] > 0


def test_a_strategy_that_never_trades_is_studied_too():
    forecast, bars = made_up()
    never = RULES.model_copy(update={"confidence": 1.0})
    told = polyscale.study_strategy(forecast, bars, "1h", never, COSTS, judged=JUDGED).to_dict()
    assert told["random_entries"] == {"value": None, "reason": "nothing was traded"}
    assert told["break_even_bps"]["value"] is None
    assert told["trade_order"]["reason"]


def test_a_horizon_that_was_not_forecast_is_told():
    forecast, bars = made_up()
    rules = RULES.model_copy(update={"horizon": Timeframe(120)})
    with pytest.raises(DataError, match="horizon 2h was not forecast"):
        polyscale.study_strategy(forecast, bars, "1h", rules, COSTS, judged=JUDGED)


def test_portfolios_from_python_obey_order_rules():
    forecasts, bars = {}, {}
    for seed, symbol in enumerate(("AAA", "BBB")):
        forecasts[symbol], bars[symbol] = made_up(seed)
    settings = PortfolioSettings.model_validate({"sleeves": [{"strategy": RULES, "share": 1.0}]})
    rules = {"AAA": OrderRules(lot_step=1.0)}
    result = polyscale.backtest_portfolio(forecasts, bars, "1h", settings, COSTS, rules=rules)
    units = result.holdings.filter(pl.col("symbol") == "AAA")["units"].to_numpy()
    assert np.abs(units).max() >= 1
    np.testing.assert_allclose(units, np.round(units), atol=1e-9)


def test_positions_of_ones_own_are_traded():
    _, bars = made_up()
    times = bars["close_time"].dt.replace_time_zone(None).to_numpy()
    rising = (bars["close"] > bars["close"].shift(24)).fill_null(False).to_numpy()
    positions = polyscale.Positions(times, 0.5 * rising)
    costs = polyscale.BacktestSettings(fee_bps=5.5, slippage_bps=1, assumed_funding_8h=1e-4)
    result = polyscale.backtest_positions({"AAA": positions}, {"AAA": bars}, "1h", costs)
    assert result.n_trades > 3
    assert result.holdings["symbol"].unique().to_list() == ["AAA"]
    with pytest.raises(ConfigError, match=r"must be of \['AAA'\], got \['BBB'\] as well"):
        polyscale.backtest_positions({}, {"AAA": bars}, "1h", costs, rules={"BBB": OrderRules()})


def test_symbols_that_do_not_fit_are_refused():
    forecast, bars = made_up()
    with pytest.raises(ConfigError, match=r"forecast \['A'\], got \['B'\]"):
        polyscale.compare_scale_strategies({"A": forecast}, {"B": bars}, "1h", RULES, COSTS)
    with pytest.raises(ConfigError, match=r"must be of \['A'\], got \['B'\] as well"):
        polyscale.compare_scale_strategies(
            {"A": forecast}, {"A": bars}, "1h", RULES, COSTS, rules={"B": OrderRules()}
        )


def test_reports_of_a_run_of_two_are_written(run_of_two):
    run, _ = run_of_two
    assert isinstance(run.folder, RunFolder)
    page = (run.folder.path / "report.html").read_text()
    assert "AAA" in page
    assert "BBB" in page
