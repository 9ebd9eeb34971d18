"""The whole product in one go: bars, a run, its figures beside the baselines, its forecast, its trades.

python examples/example_usage.py                     # 120 days of a market that never was
python examples/example_usage.py --symbol BTCUSDT    # 120 days from Bybit
"""

import argparse

import polyscale
from polyscale.config.presets import preset
from polyscale.config.run_config import MarketSettings, RunConfig, read_config

DAYS = 120


def config_for(symbol: str | None) -> RunConfig:
    """The demo's network, for this market, with fewer epochs."""
    config = read_config(preset("demo"))
    simulation = config.market.simulation.model_copy(update={"days": DAYS})
    simulated = config.market.model_copy(update={"simulation": simulation})
    market = MarketSettings(symbols=(symbol,)) if symbol else simulated
    training = config.training.model_copy(update={"epochs": 4})
    return config.model_copy(update={"name": "example", "market": market, "training": training})


def main(symbol: str | None) -> None:
    """Fit, judge, look at the newest forecast and at the money."""
    bars = {symbol: polyscale.fetch(symbol, "5m", days=DAYS)} if symbol else None
    run = polyscale.fit(config_for(symbol), bars, runs="example_runs")  # its own, so that "last" stays yours
    (outcome,) = polyscale.evaluate(run, bars)  # the test: what neither training nor validation saw

    forecast, money = outcome.forecast, outcome.strategy
    print(f"{outcome.symbol}: {len(forecast):,} forecasts of the test, the last at {forecast.close_time[-1]}")
    for h, horizon in enumerate(forecast.horizons):
        low, high = forecast.quantiles[-1, h, [1, -2]]
        print(
            f"  {horizon!s:>3}: volatility {forecast.volatility[-1, h]:.2%}, rises with "
            f"{forecast.prob_up[-1, h]:.1%}, return in [{low:+.2%}, {high:+.2%}] with 80 %"
        )
    weights = zip(forecast.scales, forecast.scale_weights[-1], strict=True)
    print("weights of the scales: " + ", ".join(f"{scale} {weight:.2f}" for scale, weight in weights))
    print(f"traded after all costs: {money.total_return:+.2%} in {money.n_trades} trades")
    print(f"report: {run.folder.path / 'report.html'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbol", help="of Bybit, such as BTCUSDT; absent: simulated")
    main(parser.parse_args().symbol)
