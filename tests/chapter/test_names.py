"""Every name of the chapter is here, with the arguments that the chapter gives it."""

import dataclasses
import inspect

import pytest

from polyscale import chapter

SIGNATURES = {
    "fetch_bybit_klines": ["symbol", "interval", "limit"],
    "create_multi_scale_features": ["df", "scales"],
    "temporal_downsample": ["df", "target_intervals"],
    "wavelet_decomposition": ["prices", "wavelet", "levels"],
    "vmd_decomposition": ["prices", "n_modes", "alpha", "tau", "DC", "init", "tol"],
    "LearnablePositionalEncoding": ["d_model"],
    "ScaleEncoder": ["scale_name", "input_dim", "d_model", "n_heads", "n_layers", "dropout"],
    "MultiResolutionAttention": ["d_model", "n_heads", "n_scales"],
    "CrossScaleFusion": ["d_model", "n_scales"],
    "HierarchicalAggregation": ["d_model", "n_levels", "pool_size"],
    "MultiScaleAttention": ["input_dims"],
    "train_multi_scale_model": [
        *("model", "train_data", "val_data", "epochs", "batch_size", "learning_rate", "device"),
    ],
    "multi_horizon_predict": ["model", "data", "device"],
    "backtest_multi_scale_strategy": [
        *("predictions", "prices", "initial_capital", "transaction_cost"),
        *("confidence_threshold", "position_sizing"),
    ],
}
DEFAULTS = {
    "fetch_bybit_klines": {"symbol": "BTCUSDT", "interval": "1", "limit": 1_000},
    "create_multi_scale_features": {"scales": ("1min", "5min", "15min", "1H", "4H")},
    "temporal_downsample": {"target_intervals": ("1min", "5min", "1H", "1D")},
    "wavelet_decomposition": {"wavelet": "db4", "levels": 4},
    "vmd_decomposition": {"n_modes": 4, "alpha": 2_000, "tau": 0, "DC": 0, "init": 1, "tol": 1e-7},
    "ScaleEncoder": {"dropout": 0.1},
    "HierarchicalAggregation": {"n_levels": 4, "pool_size": 2},
    "train_multi_scale_model": {"epochs": 100, "batch_size": 64, "learning_rate": 0.001},
    "backtest_multi_scale_strategy": {
        "initial_capital": 100_000,
        "transaction_cost": 0.001,
        "confidence_threshold": 0.6,
        "position_sizing": "confidence",
    },
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_name_takes_the_chapters_arguments_in_their_order(name):
    given = inspect.signature(getattr(chapter, name)).parameters
    assert list(given)[: len(SIGNATURES[name])] == SIGNATURES[name]
    for argument, default in DEFAULTS.get(name, {}).items():
        assert given[argument].default == default


def test_the_result_of_a_backtest_has_the_chapters_eight_fields_first():
    names = [field.name for field in dataclasses.fields(chapter.BacktestResult)]
    assert names[:8] == [
        *("total_return", "sharpe_ratio", "sortino_ratio", "max_drawdown"),
        *("win_rate", "profit_factor", "n_trades", "equity_curve"),
    ]


def test_all_names_load_and_an_unknown_one_says_which_there_are():
    assert set(SIGNATURES) | {"BacktestResult"} <= set(chapter.__all__) == set(dir(chapter))
    assert all(getattr(chapter, name) is not None for name in chapter.__all__)
    with pytest.raises(AttributeError, match=r"'Encoder'; it has .*ScaleEncoder"):
        _ = chapter.Encoder
