from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.exchange.bar_sequence import BarSequence, ClosedBar, Hole, Revision
from polyscale.exchange.bybit_candle import Kline
from polyscale.exchange.source import Window
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import BTC, FIRST_MS, MINUTE_MS

M1 = Timeframe(1)


def at(i):
    return FIRST_MS + i * MINUTE_MS


def bar(i, volume=1.0):
    return Kline(at(i), 2.0, 3.0, 1.0, 2.0, volume + i, 5.0)


def bars(*indices):
    return [bar(i) for i in indices]


def window(first, last):
    return Window(at(first), at(last))


def sequence():
    return BarSequence(BTC, M1, FIRST_MS, gap_patience_s=30.0)


def given_out(events):
    return [
        (event.kline.start_ms - FIRST_MS) // MINUTE_MS for event in events if isinstance(event, ClosedBar)
    ]


def test_bars_in_turn_are_given_out_at_once():
    state = sequence()
    assert [given_out(state.push(bar(i))) for i in range(3)] == [[0], [1], [2]]
    assert state.next_start_ms == at(3)


def test_bar_before_the_first_wanted_and_equal_repeats_are_dropped():
    state = sequence()
    assert state.push(bar(-1)) == []
    state.push(bar(0))
    assert state.push(bar(0)) == []
    assert state.backfilled(bars(-1, 0), window(-1, 0), 0.0) == []


def test_bar_after_a_gap_is_held_until_rest_has_filled_it():
    state = sequence()
    assert state.push(bar(2)) == []
    assert state.push(bar(3)) == []
    assert state.has_gap
    assert given_out(state.backfilled(bars(0, 1), window(0, 1), 0.0)) == [0, 1, 2, 3]
    assert not state.has_gap


def test_late_push_fills_a_gap_too():
    state = sequence()
    state.push(bar(1))
    assert given_out(state.push(bar(0))) == [0, 1]


def test_other_numbers_for_a_bar_given_out_are_a_revision_once():
    state = sequence()
    state.push(bar(0))
    after = bar(0, volume=9.0)
    assert state.push(after) == [Revision(BTC, M1, bar(0), after)]
    assert state.push(after) == []
    assert state.backfilled([bar(0)], window(0, 0), 0.0) == [Revision(BTC, M1, after, bar(0))]


def test_revision_is_seen_for_the_last_1500_bars_only():
    state = sequence()
    for i in range(1_510):
        state.push(bar(i))
    assert state.push(bar(9, volume=9.0)) == []
    assert len(state.push(bar(10, volume=9.0))) == 1


def test_newer_numbers_of_a_held_bar_count():
    state = sequence()
    state.push(bar(1))
    (first, second) = state.backfilled([bar(0), bar(1, volume=9.0)], window(0, 1), 0.0)
    assert (first.kline, second.kline) == (bar(0), bar(1, volume=9.0))


def test_missing_bars_are_given_up_after_the_patience_and_the_rest_goes_on():
    state = sequence()
    state.push(bar(3))
    assert given_out(state.backfilled(bars(0), window(0, 2), 100.0)) == [0]
    assert state.backfilled([], window(1, 2), 115.0) == []
    assert state.backfilled([], window(1, 2), 129.0) == []
    assert state.backfilled([], window(1, 2), 130.0) == [
        Hole(BTC, M1, at(1), at(2)),
        ClosedBar(BTC, M1, bar(3)),
    ]


def test_patience_needs_three_denials():
    state = sequence()
    assert state.backfilled([], window(0, 0), 0.0) == []
    assert state.backfilled([], window(0, 0), 1_000.0) == []
    assert state.backfilled([], window(0, 0), 1_001.0) == [Hole(BTC, M1, at(0), at(0))]


def test_each_missing_bar_has_its_own_patience():
    state = sequence()
    for now_s in (0.0, 15.0):
        state.backfilled([], window(0, 0), now_s)
    assert state.backfilled([], window(0, 1), 30.0) == [Hole(BTC, M1, at(0), at(0))]
    state.backfilled([], window(1, 1), 45.0)
    assert state.backfilled([], window(1, 1), 60.0) == [Hole(BTC, M1, at(1), at(1))]


def test_two_pages_of_one_round_deny_a_bar_once():
    state = sequence()
    for now_s in (0.0, 40.0):
        state.backfilled([], window(0, 1), now_s)
        assert state.backfilled(bars(2, 3), window(2, 3), now_s) == []


def test_several_holes_are_given_up_together():
    state = sequence()
    for now_s in (0.0, 15.0):
        assert state.backfilled(bars(1, 3), window(0, 3), now_s) == []
    events = state.backfilled(bars(1, 3), window(0, 3), 30.0)
    assert [type(event) for event in events] == [Hole, ClosedBar, Hole, ClosedBar]


def test_bar_that_comes_out_of_a_hole_later_is_a_revision_of_nothing():
    state = sequence()
    for now_s in (0.0, 15.0, 30.0):
        state.backfilled([], window(0, 0), now_s)
    assert state.push(bar(0)) == [Revision(BTC, M1, None, bar(0))]


def test_overlap_reaches_back_over_bars_given_out_only():
    state = sequence()
    assert state.overlap_start_ms(5) == at(0)
    for i in range(8):
        state.push(bar(i))
    assert state.overlap_start_ms(5) == at(3)


N = 12
PUSHES = st.tuples(st.just("push"), st.integers(0, N - 1), st.just(0))
BACKFILLS = st.tuples(st.just("rest"), st.integers(-2, N - 1), st.integers(0, N))


@settings(max_examples=1_000, deadline=None)
@given(st.lists(PUSHES | BACKFILLS, max_size=60))
def test_any_interleaving_gives_every_bar_once_and_in_order(steps):
    state, events, first = BarSequence(BTC, M1, FIRST_MS), [], 0
    for kind, i, size in steps:
        if kind == "push":
            events += state.push(bar(i))
        else:
            last = min(i + size, N - 1)
            events += state.backfilled([bar(j) for j in range(i, last + 1)], window(i, last), 0.0)
        assert given_out(events) == list(range(first, (state.next_start_ms - FIRST_MS) // MINUTE_MS))
    events += state.backfilled(bars(*range(N)), window(0, N - 1), 0.0)
    assert events == [ClosedBar(BTC, M1, bar(i)) for i in range(N)]


@settings(max_examples=1_000, deadline=None)
@given(
    st.sets(st.integers(0, N - 1)),
    st.lists(st.tuples(st.booleans(), st.integers(0, N - 1), st.floats(0, 20)), max_size=80),
)
def test_bars_and_holes_together_cover_every_time_once(absent, steps):
    state, events, now_s = BarSequence(BTC, M1, FIRST_MS), [], 0.0
    steps += [(False, N - 1, 15.0)] * 4
    for is_push, i, wait_s in steps:
        now_s += wait_s
        if is_push and i not in absent:
            events += state.push(bar(i))
        else:
            there = [bar(j) for j in range(i + 1) if j not in absent]
            events += state.backfilled(there, window(0, i), now_s)
    covered = []
    for event in events:
        if isinstance(event, Hole):
            covered += [(ms, True) for ms in range(event.first_start_ms, event.last_start_ms + 1, MINUTE_MS)]
        else:
            covered.append((event.kline.start_ms, False))
    assert covered == [(at(i), i in absent) for i in range(N)]


def test_bar_that_was_denied_and_then_pushed_is_no_part_of_a_hole():
    state = sequence()
    events = []
    for now_s in (0.0, 20.0, 29.0):
        events += state.backfilled([], window(0, 1), now_s)
    events += state.push(bar(1))
    events += state.backfilled([], window(0, 0), 40.0)
    assert events == [Hole(BTC, M1, at(0), at(0)), ClosedBar(BTC, M1, bar(1))]


def test_bar_that_is_held_is_no_part_of_a_hole_though_rest_denies_it():
    state = sequence()
    events = state.push(bar(1))
    for now_s in (0.0, 20.0, 40.0):
        events += state.backfilled([], window(0, 1), now_s)
    assert events == [Hole(BTC, M1, at(0), at(0)), ClosedBar(BTC, M1, bar(1))]
