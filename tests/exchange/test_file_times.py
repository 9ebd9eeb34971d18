from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyscale.exchange.file_times import parse_times
from polyscale.market.bars import TIME
from polyscale.market.errors import DataError

NOON = datetime(2024, 3, 31, 12, tzinfo=UTC)
DRAWN = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(lambda t: t.replace(microsecond=0))


def parsed(*values, dtype=None):
    return parse_times(pl.Series("when", values, dtype=dtype))


def refusal(*values, dtype=None):
    with pytest.raises(DataError, match="column 'when'") as caught:
        parsed(*values, dtype=dtype)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-31 12:00",
        "2024-03-31T12:00:00",
        "2024-03-31 12:00:00.000",
        "2024-03-31T12:00:00Z",
        "2024-03-31 12:00:00 UTC",
        "2024-03-31 12:00:00+00:00",
        "2024-03-31T14:00:00+0200",
        "2024-03-31 07:00-05",
        "2024-03-31T17:45:00.000000+05:45",
        "1711886400",
        "1711886400000",
        "1711886400000.0",
    ],
)
def test_every_way_to_write_noon_is_noon(text):
    times = parsed(text)
    assert times.dtype == TIME
    assert times.to_list() == [NOON]


def test_date_is_midnight_in_utc():
    midnight = NOON.replace(hour=0)
    assert parsed("2024-03-31").to_list() == parsed(date(2024, 3, 31)).to_list() == [midnight]


@given(DRAWN, st.sampled_from(["s", "ms", "us", "ns"]))
def test_epoch_is_read_in_the_only_unit_that_fits(moment, unit):
    per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    epoch = int(moment.replace(tzinfo=UTC).timestamp()) * per_s
    assert parsed(epoch).to_list() == parsed(str(epoch)).to_list() == [moment.replace(tzinfo=UTC)]


@given(DRAWN, st.integers(-12 * 60, 14 * 60))
def test_offset_is_taken_off(moment, offset_minutes):
    sign, (hours, minutes) = "-" if offset_minutes < 0 else "+", divmod(abs(offset_minutes), 60)
    expected = parsed(moment.isoformat()).dt.offset_by(f"{-offset_minutes}m")
    assert parsed(f"{moment.isoformat()}{sign}{hours:02}:{minutes:02}").equals(expected)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_zoned_column_is_converted_and_naive_column_is_utc(unit):
    naive = pl.Series("when", [datetime(2024, 7, 1, 12)], dtype=pl.Datetime(unit))
    zoned = naive.dt.replace_time_zone("Europe/Berlin")
    assert parse_times(naive).to_list() == [datetime(2024, 7, 1, 12, tzinfo=UTC)]
    assert parse_times(zoned).to_list() == [datetime(2024, 7, 1, 10, tzinfo=UTC)]


@pytest.mark.parametrize("second", ["2024-03-31T12:01:00", "2024-03-31T12:01:00+01:00"])
def test_rows_with_and_without_offset_or_with_another_one_are_refused(second):
    message = refusal("2024-03-31T12:00:00Z", second)
    assert f"must not mix time zones, got '2024-03-31T12:00:00Z' in row 0 and '{second}' in row 1" in message


def test_zulu_and_plus_zero_are_the_same_zone():
    assert parsed("2024-03-31T12:00:00Z", "2024-03-31T12:00:00+00:00").to_list() == [NOON, NOON]


@pytest.mark.parametrize("epoch", [0, 946_684_799, 20_240_331, 4_102_444_800, 99_999_999_999, -1])
def test_epoch_outside_of_2000_to_2100_is_refused(epoch):
    assert f"got '{epoch}' in row 0" in refusal(epoch)


def test_epochs_in_two_units_are_refused():
    assert "must be an epoch in s like row 0" in refusal(1_711_886_400, 1_711_886_400_000)


def test_epoch_and_text_in_one_column_are_refused():
    assert "must be an epoch in every row or in none" in refusal("1711886400", "2024-03-31 12:00")


@pytest.mark.parametrize(
    "text",
    [
        "31.03.2024 12:00",
        "03/31/2024",
        "2024-3-31",
        "noon",
        "1500-01-01",
        "2024-03-31 12",
        "2024-03-31 24:00",
    ],
)
def test_text_that_is_no_iso_time_is_refused(text):
    assert f"got '{text}' in row 1" in refusal("2024-03-31 12:00", text)


def test_day_that_does_not_exist_is_refused():
    assert "must be a date and time that exist, got '2024-02-30" in refusal("2024-02-30 12:00")


def test_fraction_of_a_millisecond_is_refused():
    assert "must be whole milliseconds" in refusal("2024-03-31 12:00:00.0001")
    assert "must be whole milliseconds" in refusal(1_711_886_400_000_001)


def test_fraction_of_an_epoch_is_refused():
    assert "must be a whole number" in refusal(1_711_886_400.5)


def test_column_of_another_kind_is_refused():
    assert "must hold times" in refusal(True)
