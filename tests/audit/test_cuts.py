import numpy as np
import polars as pl
import pytest

from polyscale.audit.cuts import newest_cuts, whole_cuts
from polyscale.audit.inputs import read_inputs
from polyscale.audit.plan import Plan
from polyscale.audit.record import Record
from polyscale.audit.rows import read_rows
from polyscale.audit.trial import Trial
from tests.audit.market import five_minutes, funding_of, without

BARS = five_minutes(20)
HOLED = without(BARS, 2_000, 30)
STEP = 300_000_000
DAY = 288 * STEP


def trial(bars, sources=None, **plan):
    rows = read_rows(bars.select("close_time", "close"))
    return Trial(None, read_inputs(bars, sources, 1), rows, {}, Plan(**plan), Record([]))


def test_the_cuts_are_as_many_as_asked_and_leave_a_future():
    for number in (1, 7, 40, 200):
        cuts = newest_cuts(trial(BARS, newest_cuts=number))
        assert len(set(cuts)) == number
        assert cuts == sorted(cuts)
        assert cuts[-1] < BARS["close_time"].dt.epoch("us")[-1]


@pytest.mark.parametrize("hours", [1, 4, 24, 168])
def test_cuts_lie_before_at_and_after_the_turns_of_timeframes(hours):
    length = hours * 12 * STEP
    offset = 4 * DAY if hours == 168 else 0
    ages = {(cut - offset) % length for cut in newest_cuts(trial(BARS, newest_cuts=60))}
    assert {0, STEP, length - STEP} <= ages


def test_cuts_lie_beside_and_inside_gaps():
    cuts = newest_cuts(trial(HOLED, newest_cuts=40))
    before, after = HOLED["close_time"].dt.epoch("us")[1_999], HOLED["close_time"].dt.epoch("us")[2_000]
    assert {before, after - STEP, after} <= set(cuts)
    assert any(before < cut < after - STEP for cut in cuts)


def test_cuts_lie_before_at_and_after_the_times_of_a_source():
    funding = funding_of(BARS).with_columns(time=funding_of(BARS)["time"].dt.offset_by("31s"))
    times = funding["time"].dt.epoch("us").to_numpy()
    cuts = np.array(newest_cuts(trial(BARS, {"funding": funding}, newest_cuts=40)))
    for shift in (0, -STEP, STEP):
        assert np.isin(cuts, times + shift).any()


def test_early_bars_are_cut_too():
    assert newest_cuts(trial(BARS, newest_cuts=40))[0] == BARS["close_time"].dt.epoch("us")[0]


def test_whole_cuts_fall_on_midnight_and_elsewhere():
    on_midnight = [cut % DAY == 0 for cut in whole_cuts(trial(BARS))]
    assert on_midnight == [True, False, True]


@pytest.mark.parametrize("begins", [0, 3_000, 5_700])
def test_most_cuts_lie_where_every_column_has_begun(begins):
    late = pl.when(pl.int_range(pl.len()) >= begins).then("close")
    rows = read_rows(BARS.select("close_time", "close", late=late, never=pl.lit(None)))
    plan = Plan(newest_cuts=20)
    given = Trial(None, read_inputs(BARS, None, 1), rows, {}, plan, Record([]))
    start = BARS["close_time"].dt.epoch("us")[begins]
    assert all(cut >= start for cut in whole_cuts(given))
    assert sum(cut >= start for cut in newest_cuts(given)) >= 10
    assert begins == 0 or sum(cut < start for cut in newest_cuts(given)) >= 3


def test_cuts_can_be_named():
    wanted = tuple(BARS["close_time"].gather([100, 50]))
    assert whole_cuts(trial(BARS, whole_cuts=wanted)) == [int(wanted[i].timestamp() * 1e6) for i in (1, 0)]


def test_the_seed_draws_the_cuts():
    one, again, other = (newest_cuts(trial(BARS, seed=seed)) for seed in (1, 1, 2))
    assert one == again != other
