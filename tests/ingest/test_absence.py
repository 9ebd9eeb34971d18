import polars as pl

from polyscale.exchange.bybit_wire import Rejected
from polyscale.exchange.source import Page, Window
from polyscale.ingest.absence import Facts, absent_runs, around, windows_with_absent
from tests.store.series import M1, make_bars, minute

LATER = 10_000


def ms_of(number):
    return int(minute(number).timestamp() * 1_000)


WINDOW = Window(ms_of(0), ms_of(9))  # bars that close at minutes 1 to 10


def page_of(minutes, rejected=()):
    return Page(WINDOW, make_bars(minutes), [Rejected(ms_of(m - 1), "a rule", "a row") for m in rejected])


def runs_of(page, reference=None, asked=LATER, listed_day=None, first_bar=None):
    facts = Facts(M1, ms_of(asked), listed_day, first_bar)
    pages = {} if reference is None else {WINDOW: reference}
    frame = absent_runs([page], facts, pages)
    first = pl.col("first_close_time", "last_close_time").dt.epoch("ms")
    return [
        ((a - ms_of(0)) // 60_000, (b - ms_of(0)) // 60_000, kind)
        for a, b, kind in frame.select(first, "kind").rows()
    ]


def test_full_page_has_no_absence():
    assert runs_of(page_of(range(1, 11))) == []


def test_bar_that_the_reference_lacks_too_is_an_outage_and_one_it_has_a_halt():
    reference = page_of([1, 2, 3, 6, 7, 8, 9, 10])
    assert runs_of(page_of([1, 2, 9, 10]), reference) == [
        (3, 3, "halted"),
        (4, 5, "outage"),
        (6, 8, "halted"),
    ]


def test_without_a_reference_nothing_says_why():
    assert runs_of(page_of([1, 2, 9, 10])) == [(3, 8, "absent")]


def test_reference_that_did_not_trade_at_all_says_nothing():
    assert runs_of(page_of([1, 2, 9, 10]), page_of([])) == [(3, 8, "absent")]


def test_reference_is_asked_for_a_whole_page():
    wide = around(WINDOW, M1, 1_000)
    assert (wide.last_ms, wide.num_bars(M1)) == (WINDOW.last_ms, 1_000)
    reference = Page(wide, make_bars(range(-20, 3)), [])
    assert runs_of(page_of([1, 2]), reference) == [(3, 10, "outage")]


def test_newest_bars_may_still_come():
    assert runs_of(page_of([1, 2, 4, 5]), asked=10) == [(3, 3, "absent")]
    assert runs_of(page_of([1, 2, 4, 5]), asked=14) == [(3, 3, "absent"), (6, 9, "absent")]


def test_bars_before_the_first_of_the_listing_day_are_before_the_listing():
    assert runs_of(page_of([6, 7, 9, 10]), listed_day=ms_of(0), first_bar=ms_of(5)) == [
        (1, 5, "pre-listing"),
        (8, 8, "absent"),
    ]


def test_bars_long_after_the_listing_are_not_before_it():
    listed_day = ms_of(0) - 30 * 86_400_000
    assert runs_of(page_of([6, 7, 8, 9, 10]), listed_day=listed_day, first_bar=ms_of(5)) == [(1, 5, "absent")]


def test_rejected_bar_is_quarantined_and_no_absence():
    page = page_of([1, 2, 3, 4, 6, 7, 8, 9, 10], rejected=[5])
    assert runs_of(page, page_of(range(1, 11))) == [(5, 5, "quarantined")]
    assert windows_with_absent([page], Facts(M1, ms_of(LATER), None, None)) == []


def test_reference_is_needed_only_where_a_bar_is_absent():
    pages = [page_of(range(1, 11)), page_of([1, 10])]
    assert windows_with_absent(pages, Facts(M1, ms_of(LATER), None, None)) == [WINDOW]
