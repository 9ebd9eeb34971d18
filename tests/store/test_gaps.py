import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyscale.store.gaps import gaps_between
from tests.store.series import M1, M5, make_bars


@given(st.sets(st.integers(1, 300), min_size=1))
def test_present_and_missing_bars_fill_the_span(minutes):
    times = make_bars(sorted(minutes))["close_time"]
    gaps = gaps_between(times, M1)
    assert len(times) + gaps["missing_bars"].sum() == max(minutes) - min(minutes) + 1
    assert (gaps["missing_bars"] > 0).all()


@pytest.mark.parametrize("minutes", [[], [5], [5, 10, 15]])
def test_series_without_holes_has_no_gaps(minutes):
    assert gaps_between(make_bars(minutes)["close_time"], M5).is_empty()
