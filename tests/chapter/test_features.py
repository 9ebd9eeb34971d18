"""Candles and features of several scales: what the chapter's pandas code gets wrong, ours does not."""

import logging

import numpy as np
import pandas as pd
import pytest

from polyscale import audit
from polyscale.chapter import create_multi_scale_features, temporal_downsample
from polyscale.market.errors import ConfigError, HistoryError
from tests.chapter.candles import as_the_chapter_has_them, klines


def test_coarse_candles_are_pandas_own_at_their_right_edge_and_finished():
    candles = klines(2).iloc[: 60 * 30 + 17]  # 17 minutes of an hour that is not over
    made = temporal_downsample(candles, ["1min", "1H"])
    whole = candles.iloc[: 60 * 30]
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    hours = whole.resample("1h", label="right", closed="right").agg(how)
    pd.testing.assert_frame_equal(made["1H"], hours, check_freq=False, check_names=False)
    pd.testing.assert_frame_equal(made["1min"], candles[list(how)], check_freq=False)


def test_opens_of_the_chapter_give_the_same_rows():
    candles = klines(2)
    by_close = temporal_downsample(candles, ["5min", "1D"])
    by_open = temporal_downsample(as_the_chapter_has_them(candles), ["5min", "1D"])
    for name in by_close:
        pd.testing.assert_frame_equal(by_close[name], by_open[name])


def test_missing_candles_are_rows_of_nan_and_no_row_is_left_out():
    candles = klines(2).drop(klines(2).index[100:200])
    made = temporal_downsample(candles, ["1min", "5min", "1H"])
    assert len(made["1min"]) == 2 * 1_440
    assert made["1min"].iloc[100:200].isna().all().all()
    steps = made["5min"].index.to_series().diff().dropna().unique()
    assert list(steps) == [pd.Timedelta("5min")]
    hours = made["1H"]["close"]
    assert hours.index[hours.isna()].hour.tolist() == [2, 3, 4]  # fewer than nine tenths of them were seen


def test_features_are_the_chapters_where_it_is_right():
    candles = klines(3)
    made = create_multi_scale_features(candles, ["1min", "15min"])["15min"]
    bars = temporal_downsample(candles, ["15min"])["15min"]
    close, volume = bars["close"], bars["volume"]
    log_return = np.log(close / close.shift(1))
    delta = close.diff()
    gain, loss = (delta.where(side, 0).abs().rolling(14).mean() for side in (delta > 0, delta < 0))
    expected = {
        "log_return": log_return,
        "return_5": np.log(close / close.shift(5)),
        "volatility_20": log_return.rolling(20).std(),
        "volume_ratio": volume / volume.rolling(20).mean(),
        "high_low_ratio": (bars["high"] - bars["low"]) / close,
        "ma_50_ratio": close / close.rolling(50).mean() - 1,
        "rsi": (gain - loss) / (gain + loss),
    }
    for name, series in expected.items():
        np.testing.assert_allclose(made[name], series.loc[made.index], rtol=1e-9, atol=1e-12, err_msg=name)
    assert made.index[0] == bars.index[49]  # ma_50 is warm, and nothing after it is left out
    assert len(made) == len(bars) - 49
    assert "return_1" not in made
    assert "rsi_normalized" not in made


def test_wilders_rsi_is_an_option_and_warm_later():
    made = create_multi_scale_features(klines(3), ["5min"], rsi="wilder")["5min"]
    assert len(made) == 3 * 288 - 349


def test_a_scale_that_is_never_warm_is_empty_and_told_of(caplog):
    with caplog.at_level(logging.WARNING):
        made = create_multi_scale_features(klines(2))
    assert len(made["4H"]) == len(made["1H"]) == 0
    assert list(made["4H"].columns) == list(made["1min"].columns)
    assert "need 50 rows of a scale" in caplog.text
    assert "'4H': 12" in caplog.text


def test_no_warm_scale_is_an_error_with_rows_needed_and_found():
    with pytest.raises(HistoryError, match=r"need 50 rows of a scale, found \{'1D': 2\}"):
        create_multi_scale_features(klines(2), ["1D"])


@pytest.mark.parametrize(
    ("scales", "says"),
    [(["7H"], None), (["30s"], "timeframe must be"), ("1H", "must be a list"), (["1h", "90m"], None)],
)
def test_scales_are_timeframes(scales, says):
    if says is None:
        assert list(create_multi_scale_features(klines(8), ["1min", *scales])) == ["1min", *scales]
    else:
        with pytest.raises(ConfigError, match=says):
            create_multi_scale_features(klines(2), scales)


def test_a_scale_finer_than_the_candles_is_refused():
    with pytest.raises(ConfigError, match="1m must be a whole multiple of 5m"):
        temporal_downsample(klines(2, "5"), ["1min"])


def test_no_row_of_any_scale_knows_its_future():
    import polars as pl

    from polyscale.chapter.frames import to_bars, to_frame

    def rows(bars):
        made = create_multi_scale_features(to_frame(bars), ["1min", "5min", "1H"])
        return pl.concat(
            [
                pl.from_pandas(frame.reset_index())
                .with_columns(pl.col("close_time").cast(bars.schema["close_time"]))
                .rename({name: f"{scale}_{name}" for name in frame.columns})
                for scale, frame in made.items()
            ],
            how="align_left",
        )

    found = audit.check(rows, to_bars(klines(4))[0])
    assert found.clean, found
