import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from polyscale.ingest.plan import plan_windows
from polyscale.store.gaps import GAP_SCHEMA, GapKind, gaps_in
from polyscale.store.layout import ABSENT
from tests.store.series import M1, make_bars, minute

MS = 60_000


def ms_of(number):
    return int(minute(number).timestamp() * 1_000)


def gaps_of(stored, first=1, last=60):
    times = make_bars(sorted(stored))["close_time"]
    return gaps_in(times, ABSENT.values.to_frame(), M1, ms_of(first), ms_of(last))


@given(st.sets(st.integers(1, 60)), st.integers(1, 20), st.integers(-5, 70))
def test_windows_cover_what_is_missing_and_are_apart(stored, page_bars, from_minute):
    windows = plan_windows(gaps_of(stored), M1, page_bars, ms_of(from_minute))
    covered = [at for first, last in windows for at in range(first, last + MS, MS)]
    assert covered == sorted(set(covered))
    wanted = {ms_of(m - 1) for m in range(1, 61) if m not in stored and m - 1 >= from_minute}
    assert wanted <= set(covered)
    assert all(window.num_bars(M1) <= page_bars for window in windows)
    assert all(window.first_ms in wanted and window.last_ms in wanted for window in windows)


def test_near_holes_share_a_window_and_far_ones_do_not():
    stored = set(range(1, 61)) - {5, 8, 40}
    windows = plan_windows(gaps_of(stored), M1, 10)
    assert windows == [(ms_of(4), ms_of(7)), (ms_of(39), ms_of(39))]


def test_nothing_missing_asks_for_nothing():
    assert plan_windows(gaps_of(range(1, 61)), M1, 10) == []


def test_what_is_known_to_be_absent_is_not_asked_for():
    rows = [(minute(1), minute(60), 60, kind.value) for kind in GapKind if kind is not GapKind.NOT_FETCHED]
    assert plan_windows(pl.DataFrame(rows, GAP_SCHEMA, orient="row"), M1, 10) == []
