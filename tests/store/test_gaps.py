import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyscale.store.gaps import GAP_SCHEMA, GapKind, gaps_in
from polyscale.store.layout import ABSENT
from tests.store.series import M1, M5, make_bars, minute

NOTHING_KNOWN = ABSENT.values.to_frame()


def ms_of(number):
    return int(minute(number).timestamp() * 1_000)


def ledger(*runs):
    rows = [(minute(a), minute(b), minute(asked), kind.value) for a, b, asked, kind in runs]
    return pl.DataFrame(rows, ABSENT.values, orient="row")


@given(
    st.sets(st.integers(1, 300)),
    st.lists(st.tuples(st.integers(-20, 320), st.integers(0, 50), st.sampled_from(list(GapKind)))),
)
def test_stored_and_missing_bars_fill_the_span(minutes, runs):
    known = ledger(*[(first, first + more, i, kind) for i, (first, more, kind) in enumerate(runs)])
    gaps = gaps_in(make_bars(sorted(minutes))["close_time"], known, M1, ms_of(1), ms_of(300))
    assert gaps.schema == GAP_SCHEMA
    missing = [
        (gap["first_close_time"] + (minute(1) - minute(0)) * i, gap["kind"])
        for gap in gaps.to_dicts()
        for i in range(gap["missing_bars"])
    ]
    expected = dict.fromkeys((minute(m) for m in range(1, 301) if m not in minutes), "not fetched")
    for first, more, kind in runs:
        expected |= {minute(m): kind for m in range(first, first + more + 1) if minute(m) in expected}
    assert missing == list(expected.items())


@pytest.mark.parametrize("minutes", [[5], [5, 10, 15]])
def test_series_without_holes_has_no_gaps(minutes):
    times = make_bars(minutes)["close_time"]
    assert gaps_in(times, NOTHING_KNOWN, M5, ms_of(minutes[0]), ms_of(minutes[-1])).is_empty()


def test_empty_span_has_no_gaps():
    assert gaps_in(make_bars([])["close_time"], NOTHING_KNOWN, M5, ms_of(10), ms_of(5)).is_empty()


def test_what_was_asked_last_holds():
    known = ledger((4, 5, 11, GapKind.HALTED), (2, 6, 10, GapKind.ABSENT))
    gaps = gaps_in(make_bars([1, 8])["close_time"], known, M1, ms_of(1), ms_of(8))
    assert gaps.select("missing_bars", "kind").rows() == [
        (2, "absent"),
        (2, "halted"),
        (1, "absent"),
        (1, "not fetched"),
    ]
