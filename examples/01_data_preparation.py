"""Step 1: candles, and the chapter's features at several scales, each row at the time from which it is known.

python examples/01_data_preparation.py                     # a market that never was
python examples/01_data_preparation.py --symbol BTCUSDT    # 30 days from Bybit
"""

import argparse

import numpy as np
import pandas as pd

from polyscale.chapter import (
    create_multi_scale_features,
    fetch_bybit_klines,
    simulate_klines,
    temporal_downsample,
    vmd_decomposition,
    wavelet_decomposition,
)

SCALES = ["1min", "5min", "15min", "1H", "4H"]


def main(symbol: str | None) -> None:
    """Fetch or simulate, downsample, decompose the newest window, compute features, join as of an origin."""
    candles = fetch_bybit_klines(symbol, "1", limit=30 * 1_440) if symbol else simulate_klines(days=30)
    print(f"{len(candles):,} one-minute candles, known from {candles.index[0]} to {candles.index[-1]}\n")

    for name, coarse in temporal_downsample(candles, ["5min", "1H", "1D"]).items():
        print(f"{name:>5}: {len(coarse):,} candles, the last closed at {coarse.index[-1]}")

    window = np.log(candles["close"].dropna().to_numpy()[-512:])  # it ends at the origin, nothing comes after
    bands = wavelet_decomposition(window, "db4", levels=4)
    modes = vmd_decomposition(window, n_modes=4)
    print("\nwavelet:", {name: len(values) for name, values in bands.items()}, "coefficients")
    print("VMD: centre frequencies of the modes, per bar:", modes["frequencies"].round(4).tolist())

    features = create_multi_scale_features(candles, SCALES)
    print("\nfeatures, one row per closed candle:")
    for name, frame in features.items():
        print(f"{name:>5}: {frame.shape[0]:>6,} rows x {frame.shape[1]}, from {frame.index[0]}")

    origins = features["1min"][["log_return", "rsi"]].add_suffix(" 1min")
    hourly = features["1H"][["log_return", "rsi"]].add_suffix(" 1H")
    joined = pd.merge_asof(
        origins, hourly, left_index=True, right_index=True
    )  # the last hour that has closed
    print("\nwhat is known at the newest origins:")
    print(joined.tail(3).round(5).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbol", help="of Bybit, such as BTCUSDT; absent: simulated")
    main(parser.parse_args().symbol)
