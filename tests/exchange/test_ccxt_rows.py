import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyscale.exchange.ccxt_rows import read_rows, rows_in, uncovered
from polyscale.exchange.errors import WireError
from polyscale.exchange.source import Window
from polyscale.market.timeframe import Timeframe
from tests.exchange.ccxt_fake import FakeCcxt, at

M1, W1 = Timeframe(1), Timeframe(10_080)
row = FakeCcxt.row


def changed(**numbers):
    """A sound row with other numbers in it."""
    names = ("start", "open", "high", "low", "close", "volume")
    return [numbers.get(name, number) for name, number in zip(names, row(at(3)), strict=True)]


def test_rows_come_out_ascending_and_once():
    candles = read_rows("x", [row(at(2)), row(at(1)), row(at(2))], M1, 1.0)
    assert [candle.start_ms for candle in candles.rows] == [at(1), at(2)]
    assert list(candles.rows[0]) == [*row(at(1)), None]


def test_volume_in_contracts_becomes_base_coin():
    [candle] = read_rows("x", [row(at(1))], M1, 0.01).rows
    assert candle.volume == 3.25 * 0.01


@pytest.mark.parametrize(
    ("numbers", "rule"),
    [
        ({"start": at(3) + 1}, "a start must lie on the grid of 1m"),
        ({"open": None}, "a number must be finite"),
        ({"close": math.nan}, "a number must be finite"),
        ({"high": math.inf}, "a number must be finite"),
        ({"volume": None}, "a number must be finite"),
        ({"open": True}, "a number must be finite"),
        ({"open": "101"}, "a number must be finite"),
        ({"low": 0.0}, "prices must be > 0"),
        ({"low": 1e9}, "low <= open, close <= high"),
        ({"high": 1.0}, "low <= open, close <= high"),
        ({"volume": -1e-9}, "volume must be >= 0"),
    ],
)
def test_row_that_breaks_a_rule_is_rejected_and_the_others_stand(numbers, rule):
    broken = changed(**numbers)
    candles = read_rows("x", [row(at(2)), broken, row(at(4))], M1, 1.0)
    assert [candle.start_ms for candle in candles.rows] == [at(2), at(4)]
    [rejected] = candles.rejected
    assert rejected.start_ms == broken[0]
    assert rule in rejected.reason


def test_row_of_another_length_is_rejected():
    assert "a list of 6 numbers" in read_rows("x", [[*row(at(1)), 5.0]], M1, 1.0).rejected[0].reason


def test_two_rows_of_one_time_with_other_numbers_are_both_rejected():
    candles = read_rows("x", [changed(), changed(volume=4.0)], M1, 1.0)
    assert candles.rows == []
    assert "two rows of one time must be equal" in candles.rejected[0].reason


def test_weeks_that_do_not_begin_on_monday_are_rejected():
    thursday = 1_704_326_400_000
    assert read_rows("x", [row(thursday)], W1, 1.0).rows == []
    assert len(read_rows("x", [row(thursday - 3 * 86_400_000)], W1, 1.0).rows) == 1


def test_rows_outside_the_window_are_left_out():
    answer = [row(at(minute)) for minute in range(10)]
    assert [kept[0] for kept in rows_in("x", answer, Window(at(3), at(5)))] == [at(3), at(4), at(5)]


@pytest.mark.parametrize("answer", [None, {}, "text", [None], [[]], [[None, 1.0]], [["1", 1.0]], [[12.0]]])
def test_answer_that_is_no_list_of_rows_with_times_is_refused(answer):
    with pytest.raises(WireError, match=r"x: (the answer must be a list of rows|a time must be in ms)"):
        rows_in("x", answer, Window(at(0), at(9)))


@given(st.sets(st.integers(0, 59), min_size=1), st.integers(0, 59_999))
def test_what_is_left_of_a_window_lies_before_and_after_its_rows(minutes, off_ms):
    rows = [row(at(minute) + off_ms) for minute in minutes]
    left = uncovered(rows, Window(at(0), at(59)), M1)
    starts = {start for part in left for start in range(part.first_ms, part.last_ms + 1, 60_000)}
    wanted = {at(m) for m in range(60) if at(m) < rows_first(rows) or at(m) > rows_last(rows)}
    assert starts == wanted


def rows_first(rows):
    return min(one[0] for one in rows)


def rows_last(rows):
    return max(one[0] for one in rows)
