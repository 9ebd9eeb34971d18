import itertools

from hypothesis import given
from hypothesis import strategies as st

from polyscale.replay.candles import Candle
from polyscale.replay.forming import Steps, partial_candle

CENTS = Steps(price=2, volume=3)
SHARES = st.floats(0, 1 - 1e-9)  # the last millisecond of a week is nearer to its begin


@st.composite
def candles(draw):
    low, first, last, high = sorted(draw(st.lists(st.integers(1, 10**7), min_size=4, max_size=4)))
    if draw(st.booleans()):
        first, last = last, first
    volume = draw(st.integers(1, 10**9)) / 1_000
    start_ms = 60_000 * draw(st.integers(28_000_000, 30_000_000))
    return Candle(start_ms, first / 100, high / 100, low / 100, last / 100, volume, volume * first / 100)


@given(candles(), SHARES, st.integers(0, 9))
def test_a_forming_candle_is_sound_and_inside_the_true_one(true, share, seed):
    seen = partial_candle(true, share, CENTS, seed)
    assert (seen.start_ms, seen.open) == (true.start_ms, true.open)
    assert true.low <= seen.low <= min(seen.open, seen.close)
    assert max(seen.open, seen.close) <= seen.high <= true.high
    assert seen.volume < true.volume


@given(candles(), st.lists(SHARES, min_size=2, max_size=9))
def test_what_was_seen_stays_seen(true, shares):
    seen = [partial_candle(true, share, CENTS, 1) for share in sorted(shares)]
    for earlier, later in itertools.pairwise(seen):
        assert later.high >= max(earlier.high, later.close)
        assert later.low <= min(earlier.low, later.close)
        assert later.volume >= earlier.volume


def test_it_begins_at_its_open_and_reaches_both_extremes_before_its_close():
    true = Candle(0, 10.0, 12.0, 9.0, 11.0, 5.0, 55.0)
    assert partial_candle(true, 0.0, CENTS, 1)[1:] == (10.0, 10.0, 10.0, 10.0, 0.0, 0.0)
    late = partial_candle(true, 0.999, CENTS, 1)
    assert (late.high, late.low) == (12.0, 9.0)
    assert late.volume == 4.995


def test_the_first_move_does_not_tell_where_the_candle_ends():
    """Half of the rising candles go down first, whatever the seed."""
    for seed in (1, 2):
        down = 0
        for minute in range(400):
            early = partial_candle(
                Candle(60_000 * minute, 10.0, 12.0, 8.0, 11.0, 5.0, 55.0), 0.1, CENTS, seed
            )
            down += early.close < early.open
        assert 150 < down < 250


def test_numbers_that_have_many_decimals_are_not_rounded():
    true = Candle(0, 1 / 3, 2 / 3, 1 / 9, 0.5, 1 / 7, 1.0)
    seen = partial_candle(true, 0.5, Steps(None, None), 1)
    assert 0 < seen.volume < true.volume
    assert true.low <= seen.close <= true.high
