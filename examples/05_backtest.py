"""Step 5: the forecasts traded, with costs; and the same without, to see what the costs take.

python examples/05_backtest.py                     # a market that never was
python examples/05_backtest.py --symbol BTCUSDT    # 60 days from Bybit
"""

import argparse

import torch

from polyscale.chapter import (
    MultiScaleAttention,
    backtest_multi_scale_strategy,
    create_multi_scale_features,
    fetch_bybit_klines,
    make_windows,
    multi_horizon_predict,
    simulate_klines,
    train_multi_scale_model,
)

DAYS = 60
LOOKBACK = {"5min": 96, "15min": 48, "1H": 24}


def main(symbol: str | None, epochs: int) -> None:
    """Train, forecast the test, trade it at two costs."""
    candles = fetch_bybit_klines(symbol, "5", limit=DAYS * 288) if symbol else simulate_klines(DAYS, "5")
    features = create_multi_scale_features(candles, list(LOOKBACK))
    train, validate, test = make_windows(features, candles, LOOKBACK, every="15min").split(0.6, 0.2)
    torch.manual_seed(1)
    model = MultiScaleAttention({s: x.shape[2] for s, x in train.X.items()}, d_model=32, lookback=LOOKBACK)
    train_multi_scale_model(model, train, validate, epochs, batch_size=256, learning_rate=0.003)
    predictions = multi_horizon_predict(model, test.X)

    for cost in (0.001, 0.0):
        result = backtest_multi_scale_strategy(
            predictions,
            candles,
            transaction_cost=cost,
            confidence_threshold=0.52,
            position_sizing="fixed",
            at=test.close_time,
        )
        print(f"at a cost of {cost:.1%} per fill, {len(result.equity_curve) / 288:.1f} days:")
        for name in ("total_return", "sharpe_ratio", "max_drawdown", "win_rate", "n_trades"):
            value = getattr(result, name)
            why = result.details.reasons.get(name, "")
            print(f"  {name:<13} {f'{value:.4g}' if value is not None else f'none: {why}'}")
    print("days are few: no such number says anything of the years to come")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbol", help="of Bybit, such as BTCUSDT; absent: simulated")
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    main(given.symbol, given.epochs)
