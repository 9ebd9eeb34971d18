import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyscale.audit.inputs import PREFIX, Wreck, read_inputs
from polyscale.audit.poisons import HUGE, NAN, PERMUTED, POISONS, wreck_all
from polyscale.market.bars import check_bars
from polyscale.market.timeframe import Timeframe
from tests.audit.market import five_minutes, funding_of

BARS = five_minutes(2)
FUNDING = funding_of(BARS).head(3)
MIXED = BARS.select(
    "close_time",
    whole=pl.int_range(pl.len()),
    small=pl.int_range(pl.len()).cast(pl.Int8, strict=False),
    flag=pl.lit(value=True),
    word=pl.lit("a"),
    rate=pl.lit(0.0),
    missing=pl.lit(None, pl.Float64),
)


@pytest.mark.parametrize("poison", [HUGE, PERMUTED])
def test_wrecked_bars_are_bars(poison):
    wrecked = wreck_all(BARS, "close_time", 1)[poison]
    assert check_bars(wrecked, Timeframe(5)).height == BARS.height
    assert (wrecked["close"] != BARS["close"]).all()


def test_huge_values_are_about_1e9():
    wrecked = wreck_all(BARS, "close_time", 1)[HUGE]
    for name in ("close", "volume"):
        assert 3e8 < wrecked[name].median() < 3e9


def test_every_type_is_wrecked_in_its_own_way():
    wrecked = wreck_all(MIXED, "close_time", 1)
    assert wrecked[NAN].drop("close_time").fill_nan(None).null_count().row(0) == (MIXED.height,) * 6
    assert wrecked[HUGE].schema == MIXED.schema
    huge = wrecked[HUGE].select(
        (pl.col("whole") >= 1e9).all(),
        (pl.col("small") == 100).all(),
        pl.col("flag").not_().all(),
        (pl.col("rate") >= 1e9).all(),
    )
    assert huge.row(0) == (True, True, True, True)
    assert wrecked[HUGE]["missing"].null_count() == MIXED.height
    assert wrecked[PERMUTED]["whole"].sort().equals(MIXED["whole"])


@given(num_rows=st.integers(2, 50), seed=st.integers(0, 99))
def test_a_permutation_leaves_no_row_in_its_place(num_rows, seed):
    frame = MIXED.head(num_rows)
    assert (wreck_all(frame, "close_time", seed)[PERMUTED]["whole"] != frame["whole"]).all()


@pytest.mark.parametrize("method", [PREFIX, *POISONS])
def test_what_was_known_at_a_cut_is_kept_in_all_inputs(method):
    inputs = read_inputs(BARS, {"funding": FUNDING}, 1)
    cut = inputs.bars.times[95]  # the rate is known from here on, to the microsecond
    for after, known in ((cut, 1), (cut - 1, 0)):
        bars, sources = inputs.frames(Wreck(method, int(after)))
        assert bars.head(95 + known).equals(BARS.head(95 + known))
        assert sources["funding"].head(known).equals(FUNDING.head(known))
        assert not bars.equals(BARS)
    assert not sources["funding"].equals(FUNDING)


def test_one_column_alone_can_be_wrecked():
    inputs = read_inputs(BARS, {"funding": FUNDING}, 1)
    bars, sources = inputs.frames(Wreck(HUGE, int(inputs.bars.times[10]), "bars", "low"))
    assert bars.drop("low").equals(BARS.drop("low"))
    assert (bars["low"] != BARS["low"]).sum() == BARS.height - 11
    assert sources["funding"].equals(FUNDING)
