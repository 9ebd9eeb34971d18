"""Step 2: the parts of the network one by one, and the whole of it.

python examples/02_architecture.py                     # a market that never was
python examples/02_architecture.py --symbol BTCUSDT    # ten days from Bybit
"""

import argparse

import torch

from polyscale.chapter import (
    CrossScaleFusion,
    HierarchicalAggregation,
    MultiResolutionAttention,
    MultiScaleAttention,
    ScaleEncoder,
    create_multi_scale_features,
    fetch_bybit_klines,
    make_windows,
    simulate_klines,
)

LOOKBACK = {"1min": 60, "5min": 48, "1H": 24}
WIDTH, HEADS = 32, 4


def main(symbol: str | None) -> None:
    """Send one batch of windows through every part."""
    candles = fetch_bybit_klines(symbol, "1", limit=10 * 1_440) if symbol else simulate_klines(days=10)
    features = create_multi_scale_features(candles, list(LOOKBACK))
    windows = make_windows(features, candles, LOOKBACK, every="1H")
    batch = {scale: torch.from_numpy(x[:8]) for scale, x in windows.X.items()}
    num_features = {scale: x.shape[2] for scale, x in batch.items()}
    torch.manual_seed(1)

    states = []
    for scale, x in batch.items():
        encoder = ScaleEncoder(scale, num_features[scale], WIDTH, HEADS, n_layers=2, lookback=LOOKBACK[scale])
        states.append(encoder(x))
        print(f"ScaleEncoder {scale:>5}: {list(x.shape)} -> {list(states[-1].shape)}")
    fused, attention = MultiResolutionAttention(WIDTH, HEADS, len(states))(states, return_attention=True)
    print(f"MultiResolutionAttention: {list(fused.shape)}; scale i reads of scale j, first window:")
    print(attention[0].detach())
    newest = [state[:, -1] for state in states]
    fused, _, gates = CrossScaleFusion(WIDTH, len(states))(newest, return_weights=True)
    print(f"CrossScaleFusion: {list(fused.shape)}; gate of the first window {gates[0].tolist()}")
    aggregation = HierarchicalAggregation(WIDTH)
    print(f"HierarchicalAggregation of {aggregation.lookback} rows: {list(aggregation(states[0]).shape)}")

    model = MultiScaleAttention(num_features, WIDTH, HEADS, n_encoder_layers=2, lookback=LOOKBACK).eval()
    outputs = model(batch, return_attention=True)
    print(f"\nMultiScaleAttention, {sum(p.numel() for p in model.parameters()):,} parameters:")
    print({name: list(value.shape) for name, value in outputs.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbol", help="of Bybit, such as BTCUSDT; absent: simulated")
    main(parser.parse_args().symbol)
