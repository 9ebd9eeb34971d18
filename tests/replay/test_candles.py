import polars as pl
import pytest

from polyscale.market.bars import BAR_SCHEMA
from polyscale.replay.candles import candles_of, coarser, joined, merged
from polyscale.scales.resample import resample
from tests.replay.market import D1, H1, M1, M5, W1, bars_of


def frame_of(candles, timeframe):
    columns = dict(zip(BAR_SCHEMA, candles, strict=True))
    frame = pl.DataFrame(columns | {"close_time": candles.start_ms + timeframe.ms})
    return frame.select(pl.col(name).cast(kind) for name, kind in BAR_SCHEMA.items())


@pytest.mark.parametrize("timeframe", [M5, H1, D1, W1], ids=str)
def test_coarser_candles_are_those_of_the_pipeline(timeframe):
    bars = bars_of(days=15)
    made = frame_of(coarser(candles_of(bars, M1), timeframe), timeframe)
    wanted = resample(bars, M1, timeframe).select(list(BAR_SCHEMA))
    assert wanted.height > 0
    assert (
        made[: wanted.height]
        .select(pl.exclude("volume", "turnover"))
        .equals(wanted.select(pl.exclude("volume", "turnover")))
    )
    for name in ("volume", "turnover"):
        assert made[: wanted.height][name].to_list() == pytest.approx(wanted[name].to_list(), rel=1e-12)


def test_a_period_with_any_bar_gives_a_candle():
    bars = bars_of()[[7, 8, 61, 125]]
    made = coarser(candles_of(bars, M1), H1)
    assert (made.start_ms % H1.ms == 0).all()
    assert made.height == 3
    assert made.volume.tolist() == pytest.approx([sum(bars["volume"][:2]), *bars["volume"][2:]])


def test_a_turnover_that_is_not_known_is_volume_times_close():
    bars = bars_of()[:3].with_columns(turnover=pl.lit(None, pl.Float64))
    made = candles_of(bars, M1)
    assert made.turnover.tolist() == (bars["volume"] * bars["close"]).to_list()


def test_joined_is_what_coarser_makes_of_one_period():
    candles = candles_of(bars_of()[:60], M1)
    (once,) = [coarser(candles, H1).row(0)]
    assert joined(candles)[:5] == once[:5]
    assert joined(candles)[5:] == pytest.approx(once[5:])


def test_merged_keeps_the_first_where_both_have_a_candle():
    whole = candles_of(bars_of()[:10], M1)
    other = whole._replace(close=whole.close * 2)
    both = merged(whole.between(2, 5), other)
    assert both.start_ms.tolist() == whole.start_ms.tolist()
    assert both.close[2:5].tolist() == whole.close[2:5].tolist()
    assert both.close[:2].tolist() == other.close[:2].tolist()
    assert merged(whole, other.between(3, 6)) is whole
