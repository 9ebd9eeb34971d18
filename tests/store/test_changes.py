import polars as pl

from polyscale.store.changes import changes_between
from polyscale.store.layout import BARS
from tests.store.series import make_bars


def test_rows_divide_into_new_revised_and_unchanged():
    stored = make_bars([1, 2, 3])
    incoming = pl.concat([make_bars([2]), make_bars([3], price=101.0), make_bars([4])])
    changes = changes_between(stored, incoming, BARS)
    assert (changes.num_inserted, changes.num_updated, changes.num_unchanged) == (1, 1, 1)
    assert changes.replaced.equals(stored.tail(1))
    assert changes.rows.equals(incoming.tail(2))


def test_revised_row_is_taken_whole_with_its_null():
    revised = make_bars([1], price=101.0, turnover=None)
    assert changes_between(make_bars([1]), revised, BARS).rows.equals(revised)


def test_nothing_stored_makes_every_row_new():
    bars = make_bars([1, 2])
    changes = changes_between(bars.clear(), bars, BARS)
    assert (changes.num_inserted, changes.num_updated, changes.num_unchanged) == (2, 0, 0)
