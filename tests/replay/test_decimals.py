import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polyscale.replay.decimals import decimal_text, decimal_texts, num_decimals


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_comes_back_bit_for_bit_and_without_exponent(value):
    text = decimal_text(value)
    assert np.float64(text).tobytes() == np.float64(value).tobytes()
    assert "e" not in text.lower()


@given(st.lists(st.floats(0, 1e20), max_size=20))
def test_many_numbers_are_written_as_one_is(values):
    assert decimal_texts(np.array(values, float)).to_list() == [decimal_text(value) for value in values]


def test_whole_numbers_have_no_point():
    assert [decimal_text(value) for value in (27_450.0, 1e16, 1e-7)] == [
        "27450",
        "10000000000000000",
        "0.0000001",
    ]


def test_decimals_are_counted_and_given_up_beyond_ten():
    assert num_decimals(np.array([1.5, 2.25, 3.0])) == 2
    assert num_decimals(np.array([100.0])) == 0
    assert num_decimals(np.array([1 / 3])) is None
