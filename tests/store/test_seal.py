import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from polyscale.store.layout import ABSENT
from polyscale.store.seal import seal_of
from tests.store.series import drawn_bars, make_bars, minute


def test_seal_is_the_same_on_every_machine_and_version():
    seals = seal_of(make_bars([1, 2]), "bybit/linear/BTCUSDT 1m").to_list()
    assert seals == [9_167_552_759_682_468_820, -6_131_222_956_705_374_623]


@given(drawn_bars(), st.data())
def test_any_flipped_bit_of_a_number_breaks_the_seal_of_its_row(bars, data):
    name = data.draw(st.sampled_from(["open", "high", "low", "close", "volume"]))
    row, bit = data.draw(st.integers(0, bars.height - 1)), data.draw(st.integers(0, 63))
    numbers = bars[name].to_numpy().copy()
    numbers.view("uint64")[row] ^= 1 << bit
    changed = bars.with_columns(pl.Series(name, numbers))
    same = seal_of(bars, "s") == seal_of(changed, "s")
    assert same.to_list() == [i != row for i in range(bars.height)]


def test_row_of_another_series_or_time_has_another_seal():
    bars = make_bars([1])
    seals = [seal_of(bars, "a"), seal_of(bars, "b"), seal_of(make_bars([2]), "a")]
    assert len({seal.item() for seal in seals}) == 3


def test_null_is_no_number():
    without, zero = (seal_of(make_bars([1], turnover=t), "s").item() for t in (None, 0.0))
    assert without != zero


def test_text_is_sealed_too():
    rows = [(minute(1), minute(2), minute(3), kind) for kind in ("halted", "outage")]
    first, second = seal_of(pl.DataFrame(rows, ABSENT.values, orient="row"), "s")
    assert first != second
