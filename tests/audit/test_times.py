import polars as pl
import pytest

from polyscale.audit import Plan, check
from tests.audit.market import five_minutes, found, funding_of

BARS = five_minutes(4)
FUNDING = funding_of(BARS)
FEW = Plan(whole_cuts=1, newest_cuts=3, truncations=0)


def same(bars, **sources):
    return bars.select("close_time", "close")


@pytest.mark.parametrize(
    ("bars", "note"),
    [
        (
            pl.concat([BARS.head(10), BARS.head(3)]),
            "1 times lie before the row above; nothing else was tested",
        ),
        (BARS.with_columns(close_time=pl.lit(None, BARS.schema["close_time"])), "times are null"),
    ],
)
def test_bars_that_cannot_be_cut_are_all_that_is_found(bars, note):
    audit = check(same, bars)
    assert note in str(audit)
    assert [finding.test for finding in audit.findings] == ["times in"]


def test_doubled_bars_are_found():
    doubled = pl.concat([BARS.head(10), BARS.slice(9)])
    finding = check(same, doubled, plan=FEW).findings[0]
    assert (finding.test, finding.column, finding.note) == (
        "times in",
        "bars.close_time",
        "1 times are doubled",
    )


def test_rates_of_two_symbols_may_share_a_time():
    both = pl.concat([FUNDING.with_columns(symbol=pl.lit(name)) for name in ("BTC", "ETH")]).sort("time")
    assert check(same, BARS, {"funding": both}, plan=FEW).clean
    assert found(check(same, BARS, {"funding": both.drop("symbol")}, plan=FEW), "funding.time")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda rows: rows.reverse(), "times lie before the row above"),
        (lambda rows: pl.concat([rows, rows.tail(2)]).sort("close_time"), "2 times are doubled"),
        (
            lambda rows: rows.with_columns(
                pl.when(pl.int_range(pl.len()) != 5).then("close_time").alias("close_time")
            ),
            "1 times are null",
        ),
        (
            lambda rows: rows.with_columns(pl.col("close_time").dt.offset_by("-1h")),
            "12 of 1,152 times are no bar's close_time: shifted by -12 bars, before the first one",
        ),
        (
            lambda rows: rows.with_columns(pl.col("close_time").dt.offset_by("5m")),
            "1 of 1,152 times are no bar's close_time: shifted by +1 bar, after the last one",
        ),
        (
            lambda rows: rows.with_columns(pl.col("close_time").dt.offset_by("7s")),
            "1,152 of 1,152 times are no bar's close_time",
        ),
    ],
)
def test_times_of_rows_that_cannot_be_right_are_found(change, note):
    audit = check(lambda bars: change(same(bars)), BARS, plan=FEW)
    notes = [finding.note for finding in audit.findings if finding.test == "times out"]
    assert any(each.endswith(note) for each in notes)


def test_rows_on_the_grid_inside_a_gap_pass():
    holed = pl.concat([BARS.head(300), BARS.slice(330)])
    assert check(lambda bars: same(bars.upsample("close_time", every="5m")), holed, plan=FEW).clean
