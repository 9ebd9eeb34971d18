"""Step 4: forecasts of several horizons, and whether they tell anything.

python examples/04_prediction.py                     # a market that never was
python examples/04_prediction.py --symbol BTCUSDT    # 60 days from Bybit
"""

import argparse

import numpy as np
import torch

from polyscale.chapter import (
    MultiScaleAttention,
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
    """Train, forecast the test, and look at the newest forecast and at all of them."""
    candles = fetch_bybit_klines(symbol, "5", limit=DAYS * 288) if symbol else simulate_klines(DAYS, "5")
    features = create_multi_scale_features(candles, list(LOOKBACK))
    train, validate, test = make_windows(features, candles, LOOKBACK, every="15min").split(0.6, 0.2)
    torch.manual_seed(1)
    model = MultiScaleAttention({s: x.shape[2] for s, x in train.X.items()}, d_model=32, lookback=LOOKBACK)
    train_multi_scale_model(model, train, validate, epochs, batch_size=256, learning_rate=0.003)

    found = multi_horizon_predict(model, test.X)
    print(f"{len(test):,} forecasts out of sample; the newest, made at {test.close_time[-1]}:")
    for i, term in enumerate(("short_term", "medium_term", "long_term")):
        expected, up = found[term][-1], found["direction"][-1, i]
        print(f"  {term:<11} {test.horizons[i]!s:>3}: {1e4 * expected:+6.1f} bps, rises with {up:.1%}")
    print(f"attention, scale i (row) reads of scale j, in the order {model.scales}:")
    print(found["attention"][-1].round(3))

    print("\nwere the sides right? (a fair coin is within the margin of 50 % in 95 of 100 such tests)")
    for i, horizon in enumerate(test.horizons):
        known = np.isfinite(test.y[:, i]) & (test.y[:, i] != 0)
        hits = ((found["direction"][:, i] > 0.5) == (test.y[:, i] > 0))[known].mean()
        independent = max(1.0, known.sum() * 15 / max(15, horizon.minutes))
        print(f"  {horizon!s:>3}: {hits:.1%}, margin {1.96 * 0.5 / independent**0.5:.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbol", help="of Bybit, such as BTCUSDT; absent: simulated")
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    main(given.symbol, given.epochs)
