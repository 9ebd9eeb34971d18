"""Step 3: training; validation chooses the epoch, and the longest horizon is purged between the parts.

python examples/03_train.py                     # a market that never was
python examples/03_train.py --symbol BTCUSDT    # 60 days from Bybit
"""

import argparse

import torch

from polyscale.chapter import (
    MultiScaleAttention,
    create_multi_scale_features,
    fetch_bybit_klines,
    make_windows,
    simulate_klines,
    train_multi_scale_model,
)

DAYS = 60
LOOKBACK = {"5min": 96, "15min": 48, "1H": 24}


def main(symbol: str | None, epochs: int) -> None:
    """Train on three fifths of the time, and hold the losses against a constant's."""
    candles = fetch_bybit_klines(symbol, "5", limit=DAYS * 288) if symbol else simulate_klines(DAYS, "5")
    features = create_multi_scale_features(candles, list(LOOKBACK))
    windows = make_windows(features, candles, LOOKBACK, every="15min")
    train, validate, _ = windows.split(0.6, 0.2)
    print(f"{len(train):,} windows to train on, until {train.close_time[-1]}")
    print(f"{len(validate):,} to validate on, from {validate.close_time[0]}")

    torch.manual_seed(1)
    widths = {scale: x.shape[2] for scale, x in train.X.items()}
    model = MultiScaleAttention(widths, d_model=32, lookback=LOOKBACK)
    history = train_multi_scale_model(model, train, validate, epochs, batch_size=256, learning_rate=0.003)

    print("\nepoch  train_loss  val_loss  val_direction_acc   (a constant forecast has 1.7)")
    for epoch, losses in enumerate(zip(*history.values(), strict=True), start=1):
        print("{:>5}  {:>10.3f}  {:>8.3f}  {:>17.3f}".format(epoch, *losses))
    print(f"\nkept: the weights of epoch {history['val_loss'].index(min(history['val_loss'])) + 1}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbol", help="of Bybit, such as BTCUSDT; absent: simulated")
    parser.add_argument("--epochs", type=int, default=6)
    given = parser.parse_args()
    main(given.symbol, given.epochs)
