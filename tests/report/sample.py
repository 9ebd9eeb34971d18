"""A small run that never was, plausible enough to look at: simulated bars, a forecast and its base."""

from dataclasses import replace

import numpy as np
from scipy import signal, stats

from polyscale.backtesting.engine import Asset, Exchange, buy_and_hold, run_backtest
from polyscale.backtesting.settings import BacktestSettings
from polyscale.evaluation.scorecard import score
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.trading.study import study
from polyscale.evaluation.verdict import verdict
from polyscale.market.forecast import Forecast
from polyscale.market.position import Positions
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.report.page import PortfolioReport, ReportInput, SymbolReport
from polyscale.strategy.managed import ManagedSettings
from polyscale.strategy.portfolio import PortfolioSettings, Sleeve, build_portfolio
from polyscale.strategy.settings import StrategySettings

BASE = Timeframe(5)
HORIZONS = (Timeframe(60), Timeframe(240), Timeframe(1440))
AHEAD = np.array([12, 48, 288])
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
SCALES = ("5m", "1h", "4h", "1d")
COSTS = BacktestSettings(fee_bps=5.5, slippage_bps=1.0, assumed_funding_8h=1e-4)
CONFIG = "data:\n  symbols: [SIM]\n  base: 5m\nmodel:\n  width: 32  # per scale\n"


RULES = StrategySettings(horizon=HORIZONS[1], confidence=0.55, edge_over_cost=0.0, every=Timeframe(60))
STUDIED = EvaluationSettings(num_bootstrap=300, num_random=50)


def report_input(
    *, symbols=("SIM",), days=40, trading=True, rules=None, costs=COSTS, portfolio=False, **changes
):
    """A run; with ``rules`` its strategy is decided by them and studied."""
    items = [symbol_report(name, days, seed, trading=trading) for seed, name in enumerate(symbols, 1)]
    if rules is not None:
        items = [studied(item, rules, costs) for item in items]
    first = items[0]
    told = verdict(
        first.scorecard,
        first.strategy.total_return,
        first.hold.total_return,
        first.strategy.costs.total_share,
    )
    facts = {
        "title": "Multi-scale attention on SIM, 5m",
        "verdict": told,
        "simulated": True,
        "symbols": items,
        "provenance": {
            "run": "2026-03-01-sim-1a2b",
            "data version": "SIM 5m: 12",
            "seed": 1,
            "commit": None,
            "libraries": {"torch": "2.13.0", "polars": "2.1.0"},
        },
        "config_yaml": CONFIG,
        "history": history(18),
        "portfolio": portfolio_report(items, costs) if portfolio else None,
    }
    return ReportInput(**facts | changes)


def studied(item, rules, costs):
    exchange = Exchange.open({item.symbol: Asset(item.bars)}, BASE, costs)
    found = study(exchange, item.forecast, item.bars, rules, costs, ManagedSettings(), STUDIED)
    return replace(
        item, strategy=found.line.result, hold=found.comparison.line("buy and hold").result, study=found
    )


def portfolio_report(items, costs, rebalance=0.0):
    """Two sleeves, limits that bind, one account."""
    bars = {item.symbol: item.bars for item in items}
    sleeves = [
        Sleeve(strategy=RULES.model_copy(update={"horizon": horizon}), share=0.5) for horizon in HORIZONS[:2]
    ]
    settings = PortfolioSettings(sleeves=sleeves, gross=0.8, per_asset=0.5, rebalance=rebalance)
    forecasts = {item.symbol: item.forecast for item in items}
    built = build_portfolio(forecasts, bars, settings, costs.round_trip_cost)
    exchange = Exchange.open({symbol: Asset(frame) for symbol, frame in bars.items()}, BASE, costs)
    equal = {
        symbol: Positions(each.close_time[:1], np.full(1, 1 / len(bars)))
        for symbol, each in built.positions.items()
    }
    return PortfolioReport(built, exchange.run(built.positions, costs), exchange.run(equal, costs))


def history(num_epochs):
    rng = np.random.default_rng(0)
    epochs = np.arange(1, num_epochs + 1)
    train = 0.86 + 0.14 * np.exp(-epochs / 5) + 0.003 * rng.standard_normal(num_epochs)
    val = 0.90 + 0.10 * np.exp(-epochs / 4) + 0.0004 * epochs + 0.002 * rng.standard_normal(num_epochs)
    return [
        {"epoch": int(e), "train_loss": float(a), "val_loss": float(b)}
        for e, a, b in zip(epochs, train, val, strict=True)
    ]


def symbol_report(symbol, days, seed, *, trading=True):
    bars = simulate_bars(SimulationSettings(days=days, seed=seed))
    bars = bars[-(days - 5) * 288 :] if days > 10 else bars
    rng = np.random.default_rng(seed)
    log_variance, returns = labels(np.log(bars["close"].to_numpy()))
    network, base, har, last = (guess(rng, log_variance, noise) for noise in (0.42, 0.46, 0.52, 0.9))
    forecast = forecast_of(rng, bars, network, base)
    judged = slice(11, None, 12)
    base_quantiles = forecast.base_volatility[..., None] * stats.norm.ppf(LEVELS)
    card = score(
        forecast.at(np.arange(len(forecast))[judged]),
        log_variance[judged],
        returns[judged],
        {"base": base[judged], "log-HAR": har[judged], "last value": last[judged]},
        base_quantiles[judged],
        bars_per_horizon=tuple(AHEAD.tolist()),
        step_bars=12,
        settings=EvaluationSettings(num_bootstrap=300),
    )
    target = np.sign(forecast.prob_up[:, 1] - 0.5) * (np.abs(forecast.prob_up[:, 1] - 0.5) > 0.02) * 0.5
    positions = Positions(forecast.close_time, target if trading else np.zeros_like(target))
    strategy = run_backtest(bars, BASE, positions, COSTS, None)
    return SymbolReport(symbol, bars, forecast, card, strategy, buy_and_hold(bars, BASE, COSTS, None))


def labels(log_close):
    """Realised log mean variance and return over each horizon, NaN where the horizon is not over."""
    num = log_close.size
    squares = np.concatenate([[0.0], np.diff(log_close) ** 2 + 1e-10])
    running = np.cumsum(squares)
    log_variance, returns = np.full((2, num, len(AHEAD)), np.nan)
    for i, bars in enumerate(AHEAD):
        log_variance[:-bars, i] = np.log((running[bars:] - running[:-bars]) / bars)
        returns[:-bars, i] = log_close[bars:] - log_close[:-bars]
    return log_variance, returns


def guess(rng, log_variance, noise):
    """What came, with a slow error on top; the mean of all where nothing came yet."""
    error = signal.lfilter([0.1], [1, -0.995], rng.standard_normal(log_variance.shape), axis=0)
    known = np.where(np.isnan(log_variance), np.nanmean(log_variance), log_variance)
    return known - 0.5 * noise**2 + noise * error


def forecast_of(rng, bars, network, base):
    num = bars.height
    volatility, base_volatility = (np.exp(values / 2) * np.sqrt(AHEAD) for values in (network, base))
    slow = signal.lfilter([0.03], [1, -0.999], rng.standard_normal((num, len(SCALES))), axis=0)
    weights = np.exp(slow + np.array([0.2, 0.6, 0.1, -0.6]))
    attention = np.exp(rng.normal(0, 0.2, (num, 4, 4)) + 1.5 * np.eye(4) + np.linspace(0, 0.8, 4))
    tilt = signal.lfilter([0.02], [1, -0.97], rng.standard_normal((num, len(HORIZONS))), axis=0)
    return Forecast(
        close_time=bars["close_time"].dt.replace_time_zone(None).to_numpy(),
        horizons=HORIZONS,
        levels=LEVELS,
        scales=SCALES,
        quantiles=volatility[..., None] * stats.norm.ppf(LEVELS),
        prob_up=0.5 + 0.3 * tilt,
        volatility=volatility,
        expected_return=0.1 * tilt * volatility,
        base_volatility=base_volatility,
        scale_weights=weights / weights.sum(axis=1, keepdims=True),
        cross_attention=attention / attention.sum(axis=2, keepdims=True),
    )
