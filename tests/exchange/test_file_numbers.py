import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyscale.exchange.file_numbers import parse_numbers
from polyscale.market.errors import DataError


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False)))
def test_text_of_every_double_is_read_back_to_the_bit(numbers):
    text = pl.Series("x", [None if n is None else repr(n) for n in numbers], dtype=pl.String)
    assert parse_numbers(text).equals(pl.Series("x", numbers, dtype=pl.Float64), null_equal=True)


@pytest.mark.parametrize("dtype", [pl.Int32, pl.UInt64, pl.Float32, pl.Decimal(10, 2)])
def test_every_type_of_number_becomes_float64(dtype):
    assert parse_numbers(pl.Series("x", [1, 2], dtype=dtype)).to_list() == [1.0, 2.0]


def test_column_without_type_is_all_null():
    assert parse_numbers(pl.Series("x", [None, None])).dtype == pl.Float64


def test_type_that_holds_no_numbers_is_refused():
    with pytest.raises(DataError, match="column 'x' must hold numbers, got Boolean"):
        parse_numbers(pl.Series("x", [True]))
