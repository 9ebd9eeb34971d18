"""The book chapter's functions and classes under its own names, thin over the real stages.

pandas frames and arrays of windows go in and out; nothing is computed twice. `docs/chapter.md` says what was
wrong with each name in the chapter, and what it does here. pandas is needed: ``pip install
'polyscale[pandas]'``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscale.chapter.backtest import BacktestResult, backtest_multi_scale_strategy
    from polyscale.chapter.data import fetch_bybit_klines, simulate_klines
    from polyscale.chapter.features import create_multi_scale_features, temporal_downsample
    from polyscale.chapter.modules import (
        CrossScaleFusion,
        HierarchicalAggregation,
        LearnablePositionalEncoding,
        MultiResolutionAttention,
        ScaleEncoder,
    )
    from polyscale.chapter.network import MultiScaleAttention
    from polyscale.chapter.predict import multi_horizon_predict
    from polyscale.chapter.train import train_multi_scale_model
    from polyscale.chapter.windows import Windows, make_windows
    from polyscale.scales.vmd import vmd_decomposition
    from polyscale.scales.wavelet import wavelet_decomposition

_HOMES = {
    "BacktestResult": "polyscale.chapter.backtest",
    "CrossScaleFusion": "polyscale.chapter.modules",
    "HierarchicalAggregation": "polyscale.chapter.modules",
    "LearnablePositionalEncoding": "polyscale.chapter.modules",
    "MultiResolutionAttention": "polyscale.chapter.modules",
    "MultiScaleAttention": "polyscale.chapter.network",
    "ScaleEncoder": "polyscale.chapter.modules",
    "Windows": "polyscale.chapter.windows",
    "backtest_multi_scale_strategy": "polyscale.chapter.backtest",
    "create_multi_scale_features": "polyscale.chapter.features",
    "fetch_bybit_klines": "polyscale.chapter.data",
    "make_windows": "polyscale.chapter.windows",
    "multi_horizon_predict": "polyscale.chapter.predict",
    "simulate_klines": "polyscale.chapter.data",
    "temporal_downsample": "polyscale.chapter.features",
    "train_multi_scale_model": "polyscale.chapter.train",
    "vmd_decomposition": "polyscale.scales.vmd",
    "wavelet_decomposition": "polyscale.scales.wavelet",
}

__all__ = [
    "BacktestResult",
    "CrossScaleFusion",
    "HierarchicalAggregation",
    "LearnablePositionalEncoding",
    "MultiResolutionAttention",
    "MultiScaleAttention",
    "ScaleEncoder",
    "Windows",
    "backtest_multi_scale_strategy",
    "create_multi_scale_features",
    "fetch_bybit_klines",
    "make_windows",
    "multi_horizon_predict",
    "simulate_klines",
    "temporal_downsample",
    "train_multi_scale_model",
    "vmd_decomposition",
    "wavelet_decomposition",
]


def __getattr__(name: str) -> Any:
    """Load a name of the chapter when it is first used."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'polyscale.chapter' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    """The names, loaded or not."""
    return __all__
