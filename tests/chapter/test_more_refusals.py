"""What a reader may give by mistake is refused with thing, rule and value, or read as it was meant."""

import logging
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from polyscale import chapter
from polyscale.chapter import (
    CrossScaleFusion,
    HierarchicalAggregation,
    LearnablePositionalEncoding,
    MultiResolutionAttention,
    MultiScaleAttention,
    ScaleEncoder,
    backtest_multi_scale_strategy,
    create_multi_scale_features,
    multi_horizon_predict,
    simulate_klines,
    temporal_downsample,
    train_multi_scale_model,
    vmd_decomposition,
    wavelet_decomposition,
)
from polyscale.chapter.frames import to_bars
from polyscale.market.errors import ConfigError, DataError, HistoryError
from tests.chapter.candles import as_the_chapter_has_them, klines, random_windows, windows
from tests.chapter.test_backtest import said
from tests.chapter.test_training import small_model

D = 16


def with_some(frame, value):
    """A frame of pandas' nullable numbers in which every fiftieth row is missing."""
    frame = frame.astype("Float64")
    frame.iloc[::50] = value
    return frame


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_a_time_is_the_same_in_every_unit_and_zone(unit, zone):
    candles = klines(1)
    index = candles.index.as_unit(unit).tz_convert(zone)
    assert to_bars(candles.set_axis(index))[0].equals(to_bars(candles)[0])


@pytest.mark.parametrize("kind", [str, object, "Float64"])
def test_numbers_may_be_of_any_kind(kind):
    assert to_bars(klines(1).astype(kind))[0].equals(to_bars(klines(1))[0])


def test_rows_of_missing_values_of_pandas_are_missing_bars():
    assert to_bars(with_some(klines(1), pd.NA))[0].height == 1_440 - 29


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda f: f.assign(close="dear"), DataError, "close of candles must be numbers: .*'dear'"),
        (lambda f: f.assign(turnover="dear"), DataError, "turnover of candles must be numbers"),
        (lambda f: pd.concat([f, f[["close"]]], axis=1), DataError, "each column once, got \\['close'\\]"),
        (
            lambda f: f.set_axis(f.index.where(np.arange(len(f)) != 5)),
            DataError,
            "a time in every row, 1 have none",
        ),
        (lambda f: pl.DataFrame({"close": [1.0]}), DataError, "got DataFrame of polars"),
        (lambda f: None, DataError, "must be a pandas.DataFrame, got NoneType"),
        (lambda f: f * np.nan, HistoryError, "at least 2 bars, found 0"),
        (lambda f: f.assign(close=f["close"].where(f.index.minute != 5)), DataError, "broken in 24 of 1440"),
    ],
)
def test_frames_of_no_candles_are_refused(change, error, says):
    with pytest.raises(error, match=says):
        to_bars(change(klines(1)))


@pytest.mark.parametrize(
    ("job", "error", "says"),
    [
        (lambda f: to_bars(f, "Close"), ConfigError, "label must be one of .* got 'Close'"),
        (lambda f: temporal_downsample(f, [1, 5]), ConfigError, "timeframe must be .* got 1$"),
        (lambda f: temporal_downsample(f, 5), ConfigError, "must be a list such as .* got 5"),
        (lambda f: temporal_downsample(f, []), ConfigError, "must be a list such as .* got \\[\\]"),
        (lambda f: create_multi_scale_features(f, ["1min"], rsi="Wilder"), ConfigError, "simple or wilder"),
        (lambda f: simulate_klines(0), ConfigError, "days: must be greater than or equal to 1, got 0"),
        (lambda f: simulate_klines(1, kind="real"), ConfigError, "kind: must be 'realistic'.* got 'real'"),
        (lambda f: simulate_klines(1, None), ConfigError, "timeframe must be"),
        (lambda f: chapter.fetch_bybit_klines(limit=2.5), ConfigError, "limit must be .* got 2.5"),
        (lambda f: chapter.fetch_bybit_klines(None), ConfigError, "symbol must be a text .* got None"),
        (lambda f: wavelet_decomposition(f["close"], "db99"), ConfigError, "wavelet must be .* got 'db99'"),
        (lambda f: wavelet_decomposition(f["close"], levels=0), ConfigError, "levels: must be .* got 0"),
        (wavelet_decomposition, DataError, "one series \\[N\\], got shape"),
        (lambda f: vmd_decomposition(f["close"], 0), ConfigError, "n_modes: must be .* got 0"),
        (lambda f: vmd_decomposition(["dear"] * 99), DataError, "one series \\[N\\] of numbers"),
    ],
)
def test_words_that_cannot_be_are_refused(job, error, says):
    with pytest.raises(error, match=says):
        job(klines(1))


def test_pandas_is_an_extra_and_said_so_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pip install 'polyscale\[pandas\]'"):
        simulate_klines(1)


def test_decompositions_take_what_pandas_gives():
    close = klines(1)["close"]
    assert not close.to_numpy().flags.writeable  # pandas keeps its own
    for given in (close, close.to_numpy(), close.tolist()):
        bands, modes = wavelet_decomposition(given), vmd_decomposition(given[-64:])
        np.testing.assert_array_equal(bands["trend"], wavelet_decomposition(close.to_numpy().copy())["trend"])
        assert len(modes["mode_0"]) == 64


def test_a_scale_that_is_never_warm_for_its_gaps_is_told_of(caplog):
    candles = klines(4)[np.arange(4 * 1_440) % 40 != 0]
    with pytest.raises(HistoryError, match=r"found \{'1min': 5759\}; give more candles, without gaps"):
        create_multi_scale_features(candles, ["1min"])
    with caplog.at_level(logging.WARNING):
        made = create_multi_scale_features(candles, ["1min", "1H"])
    assert len(made["1min"]) == 0
    assert len(made["1H"]) > 0
    assert "these have none: found {'1min': 5759}" in caplog.text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"input_dims": {"1H": 3}}, "horizons must be whole multiples of the base timeframe 1h, got 5m"),
        ({"input_dims": {"5min": 3, "7min": 3}}, "scales must be whole multiples .* got 7m"),
        ({"input_dims": {"60min": 3, "1H": 3}}, "scales must go from fine to coarse without repeats"),
        ({"input_dims": {}}, "must be a list such as .* got \\[\\]"),
        ({"input_dims": ["1min"]}, "input_dims must be features by scale, .* got list"),
        ({"input_dims": {"1min": 0}}, "input_dims must be a whole number >= 1"),
        ({"lookback": True}, "lookback must be a whole number >= 1, .* got True"),
        ({"lookback": 8.0}, "lookback must be a whole number >= 1, .* got 8.0"),
        ({"n_heads": [2]}, "n_heads must be a whole number >= 1, .* got \\[2\\]"),
        ({"n_encoder_layers": 40}, "n_encoder_layers: must be less than or equal to 8, got 40"),
        ({"dropout": 1.5}, "dropout: must be less than 1, got 1.5"),
        ({"d_model": 4, "n_heads": 1}, "d_model must be a whole number >= 8, got 4"),
        ({"horizons": (5, 60, 1_440)}, "timeframe must be .* got 5$"),
        ({"horizons": "1H"}, "horizons must be a list such as .* got the text '1H'"),
    ],
)
def test_models_that_cannot_be_are_refused(words, says):
    given = {"input_dims": {"1min": 3}, "d_model": D, "n_heads": 2, "lookback": 8, **words}
    with pytest.raises(ConfigError, match=says):
        MultiScaleAttention(**given)


def test_whole_numbers_may_be_numpys():
    model = MultiScaleAttention({"1min": np.int64(5)}, np.int64(D), np.int64(2), lookback=np.int32(8))
    assert model.lookbacks == {"1min": 8}


@pytest.mark.parametrize("change", [np.float64, np.float16, torch.from_numpy, lambda a: a.astype(object)])
def test_windows_may_be_of_any_kind_of_number(change):
    x, y = random_windows(64)
    expected = multi_horizon_predict(small_model(), x)
    given = {s: change(a) if not isinstance(change, type) else a.astype(change) for s, a in x.items()}
    found = multi_horizon_predict(small_model(), given)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=2e-3)
    history = train_multi_scale_model(
        small_model(), (given, y.tolist()), (given, pd.DataFrame(y)), 1, np.int64(32)
    )
    assert np.isfinite(history["val_loss"][0])


def test_a_model_takes_float64_and_arrays_as_it_takes_float32():
    model = small_model().eval()
    x, _ = random_windows(4)
    expected = model({s: torch.from_numpy(a) for s, a in x.items()})
    for given in (x, {s: torch.from_numpy(a.astype(np.float64)) for s, a in x.items()}):
        for name, values in model(given).items():
            torch.testing.assert_close(values, expected[name])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"epochs": 0}, "epochs: must be greater than or equal to 1, got 0"),
        ({"learning_rate": 0}, "learning_rate: must be greater than 0, got 0"),
        ({"patience": 0}, "patience: must be .* got 0"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"batch_size": 64.0}, "batch_size must be at least 1 forecast origin a step, got 64.0"),
        ({"batch_size": "64"}, "batch_size must be .* got '64'"),
        ({"model": torch.nn.Linear(2, 2)}, "must be a polyscale.chapter.MultiScaleAttention, got Linear"),
        ({"train_data": windows}, "must be Windows or a pair \\(X, y\\), got _lru_cache"),
    ],
)
def test_trainings_that_cannot_be_are_refused(words, says):
    data = random_windows(64)
    given = {"model": small_model(), "train_data": data, "val_data": data, "epochs": 1, **words}
    with pytest.raises(ConfigError, match=says):
        train_multi_scale_model(**given)


def gone(x):
    """Windows whose newest rows are missing."""
    return {s: np.where(np.arange(a.shape[1])[:, None] == a.shape[1] - 1, np.nan, a) for s, a in x.items()}


@pytest.mark.parametrize("part", ["train_data", "val_data"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x, y: (x, y * np.nan), "found \\[0, 0, 0\\] in 64 windows"),
        (lambda x, y: (x, y * 0), "known and not 0, .* found \\[0, 0, 0\\]"),
        (lambda x, y: (x, y * [1, 1, 0]), "found \\[64, 64, 0\\]"),
        (lambda x, y: (gone(x), y), "whose newest row is there; found \\[0, 0, 0\\]"),
        (lambda x, y: (x, [*y.astype(str).tolist()[:-1], ["a", "b", "c"]]), "must be numbers"),
        (lambda x, y: ({**x, "1H": [[[1.0], [2.0]], [[3.0]]]}, y), "X of 1H must be numbers"),
        (lambda x, y: ({1: x["1H"], "1min": x["1min"]}, y), "dict of the model's scales"),
    ],
)
def test_data_that_nothing_can_be_learned_from_is_refused(part, change, says):
    x, y = random_windows(64)
    given = {"train_data": (x, y), "val_data": (x, y), part: change(x, y)}
    with pytest.raises(DataError, match=says):
        train_multi_scale_model(small_model(), **given, epochs=1)


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (
            lambda: ScaleEncoder("1H", 3, D, 4, 1)(torch.zeros(2, 5, 4)),
            r"\[windows, rows, 3\], got \[2, 5, 4",
        ),
        (lambda: ScaleEncoder("1H", 3, D, 4, 1)(torch.zeros(5, 3)), r"rows, 3\], got \[5, 3\]"),
        (lambda: ScaleEncoder("1H", 3, D, 4, 1)(np.zeros((2, 5, 3))), "got ndarray"),
        (lambda: ScaleEncoder("1H", 3, D, 4, 1)(torch.zeros(2, 5, 3).double()), "float32 as the weights are"),
        (lambda: MultiResolutionAttention(D, 4, 2)([torch.zeros(2, D)] * 2), r"rows, 16\], got \[2, 16\]"),
        (
            lambda: MultiResolutionAttention(D, 4, 2)([torch.zeros(2, 5, D), torch.zeros(3, 5, D)]),
            r"as many windows of every scale, got \[2, 3\]",
        ),
        (lambda: CrossScaleFusion(D, 1)([torch.zeros(2, 5, D)]), r"\[windows, 16\], got \[2, 5, 16\]"),
        (lambda: HierarchicalAggregation(D)(torch.zeros(2, 0, D)), r"rows, 16\], got \[2, 0, 16\]"),
        (lambda: LearnablePositionalEncoding(D)(torch.zeros(2, 5, 8)), r"rows, 16\], got \[2, 5, 8\]"),
    ],
)
def test_shapes_that_a_part_cannot_take_are_refused(job, says):
    with pytest.raises(DataError, match=says):
        job()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ScaleEncoder("1H", 3, D, 4, 1, lookback=0), "lookback must be a whole number >= 1, got 0"),
        (lambda: ScaleEncoder("1H", 3, D, 4, 0), "n_layers: must be .* got 0"),
        (lambda: ScaleEncoder("1H", 0, D, 4, 1), "input_dim must be .* got 0"),
        (lambda: MultiResolutionAttention(D, 4, 0), "n_scales must be .* got 0"),
        (lambda: MultiResolutionAttention(D, 4, 2, key_span=0), "key_span must be .* got 0"),
        (lambda: CrossScaleFusion(2, 2), "d_model must be a whole number >= 8, got 2"),
        (lambda: HierarchicalAggregation(D, 0), "n_levels must be .* got 0"),
        (lambda: HierarchicalAggregation(D, window=0), "window must be .* got 0"),
        (lambda: LearnablePositionalEncoding(D, 0), "max_length must be .* got 0"),
    ],
)
def test_parts_that_cannot_be_are_refused(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: {**p, "short_term": p["short_term"][:5]}, "got 5 returns"),
        (lambda p: {**p, "long_term": p["long_term"][:5]}, r"'long_term': \(5,\)"),
        (lambda p: {**p, "direction": 0.7}, r"'direction': \(\)"),
        (lambda p: {**p, "direction": p["direction"].T}, r"'direction': \(3, 5760\)"),
        (lambda p: {**p, "short_term": ["dear"] * 5_760}, "short_term must be numbers"),
        (lambda p: {**p, "direction": p["direction"] * np.nan}, "probabilities between 0 and 1"),
        (lambda p: [1, 2], "must be a dict with .* got list"),
        (lambda p: None, "must be a dict with .* got NoneType"),
    ],
)
def test_predictions_of_another_shape_are_refused(change, says):
    with pytest.raises(DataError, match=says):
        backtest_multi_scale_strategy(change(said(klines(4))), klines(4))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"transaction_cost": "0.1%"}, "transaction_cost: must be .* got '0.1%'"),
        ({"transaction_cost": -0.001}, r"transaction_cost: must be .* got -0\.001$"),
        ({"transaction_cost": 1.0}, r"transaction_cost: must be .* less than 1, .* got 1\.0"),
        ({"transaction_cost": float("nan")}, "transaction_cost: must be .* got nan"),
        ({"initial_capital": float("inf")}, "initial_capital: must be a finite number, got inf"),
        ({"confidence_threshold": 60}, "confidence_threshold: must be .* got 60"),
        ({"horizons": ("1H", "1H", "1H")}, "three that rise .* got \\['1h', '1h', '1h'\\]"),
        ({"horizons": ("1D", "1H", "5min")}, "three that rise"),
        ({"horizon": ["medium_term"]}, "horizon must be one of"),
    ],
)
def test_words_of_a_backtest_that_cannot_be_are_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        backtest_multi_scale_strategy(said(klines(4)), klines(4), **words)


def test_tensors_with_gradients_are_predictions_too():
    plain = said(klines(4))
    tensors = {name: torch.from_numpy(values).requires_grad_() for name, values in plain.items()}
    first, second = (backtest_multi_scale_strategy(each, klines(4)) for each in (plain, tensors))
    assert first.total_return == second.total_return


CANDLES = klines(4)
SOME = CANDLES.index[2_000:2_010]


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (SOME.to_numpy(), "`at` must be times .* got ndarray"),
        (SOME[::-1], "`at` must rise, broken in row 1"),
        (SOME[[0, 0, 1]], "`at` must rise, broken in row 1"),
        (
            SOME + pd.Timedelta("30s"),
            "`at` must be closes of prices, 10 of 10 are not, first 2025-01-02 09:21:30",
        ),
        (SOME.append(CANDLES.index[-2:] + pd.Timedelta("1D")), "2 of 12 are not"),
        (as_the_chapter_has_them(CANDLES).index[2_000:2_010], "must be named close_time .* 'timestamp'"),
        (SOME.rename(None), "must be named close_time .* got the name None"),
    ],
)
def test_times_that_are_no_closes_of_prices_are_refused(at, says):
    few = {name: values[: len(at)] for name, values in said(CANDLES).items()}
    with pytest.raises(DataError, match=says):
        backtest_multi_scale_strategy(few, CANDLES, at=at)


def test_closes_of_another_name_are_closes_where_it_is_said():
    few = {name: values[: len(SOME)] for name, values in said(CANDLES).items()}
    expected = backtest_multi_scale_strategy(few, CANDLES, at=SOME).equity_curve
    named = CANDLES.rename_axis("time")
    found = backtest_multi_scale_strategy(few, named, at=SOME.rename("time"), label="close").equity_curve
    naive = backtest_multi_scale_strategy(few, CANDLES, at=SOME.tz_localize(None).as_unit("ns")).equity_curve
    pd.testing.assert_series_equal(found, expected)
    pd.testing.assert_series_equal(naive, expected)


def test_forecasts_without_a_day_of_bars_are_left_out_and_told_of(caplog):
    with caplog.at_level(logging.WARNING):
        found = backtest_multi_scale_strategy(said(CANDLES), CANDLES)
    first = CANDLES.index.get_loc(found.equity_curve.index[0])
    assert f"{first} of 5760 forecasts have no day of bars before them" in caplog.text
    assert 0.9 * 1_440 <= first <= 1_441
