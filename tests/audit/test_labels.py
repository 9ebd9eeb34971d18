import polars as pl
import pytest

from polyscale.audit import check_labels
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe
from polyscale.scales.resample import resample
from tests.audit.market import five_minutes, without

FINE = five_minutes(6)
COARSE = resample(FINE, Timeframe(5), Timeframe(60))


def moved(bars, minutes):
    return bars.with_columns(pl.col("close_time").dt.offset_by(f"{minutes}m"))


def test_bars_that_are_labelled_by_their_close_are_clean():
    audit = check_labels(FINE, COARSE)
    assert audit.clean
    assert audit.tests[1].notes == ("closes agree in 100 % of the bars that both have",)


@pytest.mark.parametrize(
    ("fine", "coarse", "column", "shift", "why"),
    [
        (FINE, moved(COARSE, -60), "coarse.close_time", 12, "coarse bars are labelled by their open"),
        (moved(FINE, -5), COARSE, "fine.close_time", -1, "fine bars are labelled by their open"),
        (moved(FINE, -5), moved(COARSE, -60), "both.close_time", 11, "both are labelled by their open"),
        (FINE, moved(COARSE, 15), "fine.close_time", -3, "another moment than its close"),
    ],
)
def test_a_label_that_is_not_the_close_is_named(fine, coarse, column, shift, why):
    (finding,) = check_labels(fine, coarse).findings
    assert finding.column == column
    assert f"moved by {shift:+d} fine bars: " in finding.note
    assert why in finding.note
    assert (finding.reach.bars, finding.reach.ms) == (abs(shift), abs(shift) * 300_000)


def test_gaps_and_a_few_revised_bars_are_let_pass():
    few = COARSE.with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(pl.col("close") * 2).otherwise("close")
    )
    audit = check_labels(without(FINE, 100, 50), few)
    assert audit.clean
    assert "closes agree in 99." in audit.tests[1].notes[0]


def test_another_market_is_told():
    other = resample(five_minutes(6, seed=9), Timeframe(5), Timeframe(60))
    (finding,) = check_labels(FINE, other).findings
    assert "at no shift of -12 to 24 fine bars: not one market" in finding.note


def test_doubled_bars_are_found():
    (finding,) = check_labels(FINE, pl.concat([COARSE.head(5), COARSE.slice(4)])).findings
    assert (finding.test, finding.column) == ("times in", "coarse.close_time")
    (finding,) = check_labels(FINE.reverse(), COARSE).findings
    assert finding.column == "fine.close_time"


@pytest.mark.parametrize(
    ("fine", "coarse", "message"),
    [
        (FINE.drop("close"), COARSE, "fine bars must have a column close"),
        (COARSE, FINE, "coarse bars must be a whole multiple of fine ones, got 5m and 1h"),
        (FINE, COARSE.head(2), "coarse must have >= 3 bars, got 2"),
    ],
)
def test_frames_that_do_not_fit_are_an_error(fine, coarse, message):
    with pytest.raises(DataError, match=message):
        check_labels(fine, coarse)
