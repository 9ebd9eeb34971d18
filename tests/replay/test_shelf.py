import polars as pl
import pytest

from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from polyscale.replay.candles import candles_of
from polyscale.replay.faults import revised
from polyscale.replay.shelf import Shelf
from tests.replay.market import D1, DAY_MS, FIRST_MS, H1, HOUR_MS, M1, M5, MINUTE_MS, W1, bars_of


def shelf_of(bars, *more):
    return Shelf(dict([(M1, bars), *more]), seed=1)


def test_a_coarse_forming_candle_is_made_of_the_bars_so_far():
    shelf = shelf_of(bars_of())
    now_ms = FIRST_MS + HOUR_MS + 10 * MINUTE_MS  # exactly: the next minute has only begun
    got = shelf.forming(H1, now_ms)
    bars = bars_of()[60:70]
    assert got.start_ms == FIRST_MS + HOUR_MS
    assert got.open == bars["open"][0]
    assert got.volume == pytest.approx(bars["volume"].sum())
    begun = bars_of()["open"][70]
    assert got.high == max(bars["high"].max(), begun)
    assert got.close == begun


def test_a_period_without_a_bar_so_far_has_no_forming_candle():
    shelf = shelf_of(bars_of().filter(pl.col("close_time").dt.epoch("ms") > FIRST_MS + 90 * MINUTE_MS))
    assert shelf.forming(H1, FIRST_MS + 80 * MINUTE_MS) is None
    assert shelf.forming(M1, FIRST_MS + 80 * MINUTE_MS) is None
    assert shelf.forming(H1, FIRST_MS + 91 * MINUTE_MS).start_ms == FIRST_MS + HOUR_MS


def test_held_coarse_candles_go_before_those_put_together():
    hours = bars_of(days=3, timeframe=H1, seed=9)
    shelf = shelf_of(bars_of()[: 26 * 60], (H1, hours))
    closed = shelf.closed(H1, FIRST_MS + 3 * DAY_MS)
    assert closed.close.tolist() == hours["close"].to_list()
    without = shelf_of(bars_of()[: 26 * 60], (H1, hours[:20]))
    assert without.closed(H1, FIRST_MS + 3 * DAY_MS).height == 26


def test_a_held_coarse_candle_forms_inside_itself_where_no_finer_ones_reach():
    hours = bars_of(days=3, timeframe=H1, seed=9)
    shelf = shelf_of(bars_of()[:60], (H1, hours))
    got = shelf.forming(H1, FIRST_MS + 30 * HOUR_MS + HOUR_MS // 2)
    true = candles_of(hours, H1).row(30)
    assert got.open == true.open
    assert true.low <= got.low <= got.high <= true.high


def test_weeks_begin_on_monday():
    shelf = shelf_of(bars_of(days=15))
    closed = shelf.closed(W1, FIRST_MS + 15 * DAY_MS)
    assert closed.start_ms.tolist() == [FIRST_MS - 2 * DAY_MS, FIRST_MS + 5 * DAY_MS]
    assert shelf.forming(W1, FIRST_MS + 13 * DAY_MS).start_ms == FIRST_MS + 12 * DAY_MS


def test_only_multiples_of_what_is_held_are_there():
    shelf = Shelf({M5: bars_of(timeframe=M5)}, seed=1)
    assert shelf.holds(D1)
    assert not shelf.holds(M1)
    assert not shelf.holds(Timeframe(3))
    with pytest.raises(ConfigError, match="3m must be a multiple of what is held"):
        shelf.closed(Timeframe(3), FIRST_MS)


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_revision_reaches_the_coarser_candles(asked_before):
    shelf = shelf_of(bars_of())
    before = shelf_of(bars_of()).closed(H1, FIRST_MS + HOUR_MS).row(0)
    if asked_before:
        shelf.closed(H1, FIRST_MS + HOUR_MS)
    true = shelf.closed_at(M1, FIRST_MS + 5 * MINUTE_MS)
    shelf.revise(M1, revised(true, shelf.steps))
    after = shelf.closed(H1, FIRST_MS + HOUR_MS).row(0)
    assert after.volume == pytest.approx(before.volume + 0.01 * true.volume)


def test_a_revision_of_a_coarse_candle_outlives_one_of_a_fine_candle():
    shelf = shelf_of(bars_of())
    hour = shelf.closed_at(H1, FIRST_MS)
    shelf.revise(H1, hour._replace(volume=1.0))
    minute = shelf.closed_at(M1, FIRST_MS)
    shelf.revise(M1, minute._replace(volume=2.0))
    assert shelf.closed_at(H1, FIRST_MS).volume == 1.0
    assert shelf.closed_at(M1, FIRST_MS).volume == 2.0
    assert bars_of()["volume"][0] not in (1.0, 2.0), "the caller's frame is not touched"
