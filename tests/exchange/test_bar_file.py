import gzip
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from polyscale.exchange.bar_file import read_bar_file
from polyscale.market.bars import BAR_SCHEMA, check_bars
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.timeframe import Timeframe
from tests.exchange.candles import (
    FIRST,
    HEADER,
    M1,
    M5,
    NOW,
    ROWS,
    drawn_bars,
    make_candles,
    write_csv,
    write_parquet,
)

REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ROUND_TRIP = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def refusal(path, timeframe=M1, label="open", **options):
    with pytest.raises(DataError) as caught:
        read_bar_file(path, timeframe, label, **{"now": NOW, **options})
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


def test_csv_becomes_bars_known_at_the_close(tmp_path):
    read = read_bar_file(write_csv(tmp_path, *ROWS), M1, "open", now=NOW)
    assert read.bars.schema == BAR_SCHEMA
    assert read.bars["close_time"][0] == datetime(2024, 1, 1, 0, 1, tzinfo=UTC)
    assert read.bars.row(2)[1:] == (12.0, 14.0, 11.0, 13.0, 7.0, None)
    assert read.num_unfinished == 0


def test_label_close_takes_the_time_as_it_stands(tmp_path):
    path = write_csv(tmp_path, *ROWS, header=HEADER.replace("open_time", "timestamp"))
    assert read_bar_file(path, M1, "close", now=NOW).bars["close_time"][0] == FIRST


@pytest.mark.parametrize("separator", [";", "\t"])
def test_text_file_may_be_cut_by_semicolon_or_tab(tmp_path, separator):
    rows = [row.replace(",", separator) for row in ROWS]
    path = write_csv(tmp_path, *rows, header=HEADER.replace(",", separator), name="bars.txt")
    assert read_bar_file(path, M1, "open", now=NOW).bars.height == 3


def test_header_may_be_capitalised_quoted_and_begin_with_a_byte_order_mark(tmp_path):
    header = "\ufeff" + ",".join(f'"{name.title()}"' for name in HEADER.split(","))
    path = write_csv(tmp_path, *ROWS, header=header)
    assert read_bar_file(path, M1, "open", now=NOW).bars.height == 3


@ROUND_TRIP
@given(bars=drawn_bars())
def test_csv_round_trip_keeps_every_bit(tmp_path, bars):
    path = tmp_path / "bars.csv.gz"
    path.write_bytes(gzip.compress(bars.write_csv().encode()))
    assert read_bar_file(path, M1, "close").bars.equals(check_bars(bars, M1))


@ROUND_TRIP
@given(bars=drawn_bars())
def test_parquet_round_trip_keeps_every_bit(tmp_path, bars):
    path = write_parquet(tmp_path, bars)
    assert read_bar_file(path, M1, "close").bars.equals(check_bars(bars, M1))


def test_columns_map_the_contract_to_the_files_names(tmp_path):
    path = write_csv(tmp_path, *ROWS, header="t,o,h,l,c,v,q")
    names = {"time": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "turnover": "q"}
    assert read_bar_file(path, M1, "open", names, NOW).bars["turnover"].to_list() == [50.0, 60.0, None]


def test_label_chooses_between_open_time_and_close_time(tmp_path):
    both = make_candles().with_columns(close_time=pl.col("open_time").dt.offset_by("1m"))
    path = write_parquet(tmp_path, both)
    opened, closed = (read_bar_file(path, M1, label, now=NOW).bars for label in ("open", "close"))
    assert opened.equals(closed)


def test_unfinished_last_bar_is_left_out_and_counted(tmp_path):
    now = datetime(2024, 1, 1, 0, 2, 59, tzinfo=UTC)
    read = read_bar_file(write_csv(tmp_path, *ROWS), M1, "open", now=now)
    assert (read.bars.height, read.num_unfinished) == (2, 1)


def test_bar_that_closes_right_now_is_finished(tmp_path):
    now = datetime(2024, 1, 1, 0, 3, tzinfo=UTC)
    assert read_bar_file(write_csv(tmp_path, *ROWS), M1, "open", now=now).num_unfinished == 0


def test_bars_that_have_not_begun_are_refused(tmp_path):
    now = datetime(2024, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert "are the times in a local zone" in refusal(write_csv(tmp_path, *ROWS), now=now)


def test_file_with_nothing_but_an_unfinished_bar_is_refused(tmp_path):
    now = datetime(2024, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert "must hold a closed bar" in refusal(write_csv(tmp_path, ROWS[0]), now=now)


def test_gaps_are_kept(tmp_path):
    late = ROWS[2].replace("00:02", "07:30")
    assert read_bar_file(write_csv(tmp_path, *ROWS[:2], late), M1, "open", now=NOW).bars.height == 3


@pytest.mark.parametrize(("name", "label"), [("open_time", "close"), ("close_time", "open")])
def test_name_and_label_that_disagree_are_refused(tmp_path, name, label):
    path = write_parquet(tmp_path, make_candles(time=name))
    assert f"must be the bar's {label}, as the label says, got a column named '{name}'" in refusal(
        path, label=label
    )
    assert "correct the label" in refusal(path, label=label, columns={"time": name})


def test_missing_columns_are_named(tmp_path):
    path = write_csv(tmp_path, *ROWS, header="open_time,open,high,low,last,vol,turnover")
    message = refusal(path)
    assert "missing columns ['close', 'volume'], found ['open_time'" in message
    assert "columns={'close': '<its name>'}" in message


def test_missing_time_is_named(tmp_path):
    assert "missing columns ['time']" in refusal(write_csv(tmp_path, *ROWS, header="when" + HEADER[9:]))


def test_several_times_are_refused(tmp_path):
    frame = make_candles(time="date").with_columns(time=pl.col("date"))
    assert "one column must hold time, got" in refusal(write_parquet(tmp_path, frame))


def test_mapped_column_that_is_not_there_is_refused(tmp_path):
    assert "missing [\"open='o'\"]" in refusal(write_csv(tmp_path, *ROWS), columns={"open": "o"})


def test_unknown_key_of_columns_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"columns must map names out of .* got \['opened'\]"):
        read_bar_file(write_csv(tmp_path, *ROWS), M1, "open", {"opened": "open"})


def test_unknown_label_and_naive_now_are_config_errors(tmp_path):
    path = write_csv(tmp_path, *ROWS)
    with pytest.raises(ConfigError, match="label must be 'open' or 'close', got 'left'"):
        read_bar_file(path, M1, "left")
    with pytest.raises(ConfigError, match="now must have a time zone"):
        read_bar_file(path, M1, "open", now=datetime(2025, 1, 1))


def test_unsorted_times_are_refused(tmp_path):
    message = refusal(write_csv(tmp_path, *reversed(ROWS)))
    assert (
        "times must rise, got 2024-01-01 00:02:00+00:00 and then 2024-01-01 00:01:00+00:00 in row 1"
        in message
    )
    assert "sort the file" in message


def test_doubled_times_are_refused(tmp_path):
    message = refusal(write_csv(tmp_path, *ROWS, ROWS[2]))
    assert "times must not repeat, got 2024-01-01 00:02:00+00:00" in message
    assert "row 3" in message


@pytest.mark.parametrize("cell", ["nan", "NaN", "Infinity", "inf", "1_000", "1 000", "0x10", "1e999", "--1"])
def test_csv_number_that_is_none_is_named_with_row_and_column(tmp_path, cell):
    message = refusal(write_csv(tmp_path, ROWS[0], ROWS[1].replace(",12,", f",{cell},")))
    assert f"column 'close' must hold finite decimal numbers such as 1234.5, got '{cell}' in row 1" in message


@pytest.mark.parametrize("cell", ["12", "+12", "12.", "1.2e1", "120E-1", " 12 "])
def test_csv_number_may_be_written_in_every_decimal_way(tmp_path, cell):
    path = write_csv(tmp_path, ROWS[0], ROWS[1].replace(",12,", f",{cell},"))
    assert read_bar_file(path, M1, "open", now=NOW).bars["close"][1] == 12.0


def test_nan_in_parquet_is_refused(tmp_path):
    frame = make_candles().with_columns(close=pl.Series([11.0, float("nan"), 11.0]))
    assert "column 'close' must hold finite decimal numbers" in refusal(write_parquet(tmp_path, frame))


def test_null_is_refused(tmp_path):
    message = refusal(write_csv(tmp_path, ROWS[0], ROWS[1].replace(",12,", ",,")))
    assert "close must be a finite number; broken in 1 of 2 rows, first in row 1" in message
    assert "correct the file" in message


def test_null_time_is_refused(tmp_path):
    row = ROWS[1].removeprefix("2024-01-01 00:01:00+00:00")
    assert "column 'open_time' must not be empty" in refusal(write_csv(tmp_path, ROWS[0], row))


def test_empty_line_between_rows_is_refused(tmp_path):
    assert "must not be empty" in refusal(write_csv(tmp_path, ROWS[0], "", ROWS[1]))


def test_negative_price_is_refused(tmp_path):
    assert "low must be > 0" in refusal(write_csv(tmp_path, ROWS[0], ROWS[1].replace(",10,", ",-10,")))


def test_high_below_low_is_refused(tmp_path):
    message = refusal(write_csv(tmp_path, ROWS[0], ROWS[1].replace(",13,", ",9,")))
    assert "high must be >= open, close and low" in message
    assert "'high': 9.0" in message


def test_mixed_time_zones_are_refused(tmp_path):
    message = refusal(write_csv(tmp_path, ROWS[0], ROWS[1].replace("+00:00", "+01:00")))
    assert "must not mix time zones, got '2024-01-01 00:00:00+00:00' in row 0 and" in message
    assert "write every time in UTC" in message


def test_file_of_no_bytes_is_refused(tmp_path):
    path = tmp_path / "bars.csv"
    path.touch()
    assert "got an empty file of 0 bytes" in refusal(path)


@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet"])
def test_header_without_rows_is_refused(tmp_path, name):
    path = write_csv(tmp_path)
    if name.endswith("parquet"):
        path = write_parquet(tmp_path, make_candles(0))
    assert "must hold rows, got only the columns ['open_time', 'open'" in refusal(path)


def test_csv_without_a_header_is_refused(tmp_path):
    message = refusal(write_csv(tmp_path, *ROWS[1:], header=ROWS[0]))
    assert "the first line must name the columns" in message


def test_row_with_too_many_cells_is_refused(tmp_path):
    assert "must be readable CSV" in refusal(write_csv(tmp_path, ROWS[0], ROWS[1] + ",7"))


def test_doubled_names_in_the_header_are_refused(tmp_path):
    path = write_csv(tmp_path, *ROWS, header=HEADER.replace("turnover", "close"))
    assert "columns must have different names, got ['close'] more than once" in refusal(path)


def test_parquet_of_funding_holds_no_candles(tmp_path):
    funding = make_candles(time="time").select("time", funding_rate="open")
    message = refusal(write_parquet(tmp_path, funding))
    assert "must hold candles, missing columns ['open', 'high', 'low', 'close', 'volume']" in message
    assert "funding rates have an import of their own" in message


@pytest.mark.parametrize("keep", [4, 50, -20])
def test_broken_parquet_is_refused(tmp_path, keep):
    path = write_parquet(tmp_path, make_candles())
    path.write_bytes(path.read_bytes()[:keep])
    assert "must be readable Parquet" in refusal(path)


def test_broken_gzip_is_refused(tmp_path):
    path = tmp_path / "bars.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *ROWS]).encode())[:-12])
    assert "must be readable gzip" in refusal(path)


def test_csv_that_is_no_utf8_is_refused(tmp_path):
    path = write_csv(tmp_path, *ROWS)
    path.write_bytes(path.read_bytes() + b"\xff\xfe,1,1,1,1,1,1\n")
    assert "must be readable CSV in UTF-8" in refusal(path)


def test_unknown_extension_is_refused(tmp_path):
    message = refusal(write_csv(tmp_path, *ROWS, name="bars.xlsx"))
    assert "the extension must be one of" in message
    assert "got '.xlsx'" in message


def test_file_that_is_not_there_is_refused(tmp_path):
    assert "must be a file, none is there" in refusal(tmp_path / "bars.csv")
    assert "it is a folder" in refusal(tmp_path)


def test_times_off_the_grid_name_the_step_found(tmp_path):
    message = refusal(write_csv(tmp_path, *ROWS), timeframe=M5)
    assert "open times must lie on the grid of 5m, got 2024-01-01 00:01:00+00:00 in row 1" in message
    assert "the smallest step in the file is 1m: is the timeframe right?" in message


def test_daily_bars_of_another_zone_are_told_to_be_shifted(tmp_path):
    frame = make_candles(step=Timeframe(1440)).with_columns(pl.col("open_time").dt.offset_by("5h"))
    assert "shift the times to UTC" in refusal(write_parquet(tmp_path, frame), timeframe=Timeframe(1440))


def test_close_one_millisecond_early_names_binance(tmp_path):
    early = make_candles(time="close_time").with_columns(pl.col("close_time").dt.offset_by("-1ms"))
    assert "1 ms early, as Binance writes them" in refusal(write_parquet(tmp_path, early), label="close")


def test_file_of_a_longer_step_is_refused_with_that_step(tmp_path):
    message = refusal(write_parquet(tmp_path, make_candles(step=M5)))
    assert "the smallest step between two rows must be the timeframe 1m, got 5m" in message


def test_one_row_has_no_step_and_passes(tmp_path):
    path = write_parquet(tmp_path, make_candles(1))
    assert read_bar_file(path, M1, "open", now=NOW).bars.height == 1


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "timeframe", "num_bars"),
    [
        ("BYBIT-PERP_BTCUSDT_5m.parquet", M5, 122_112),
        ("BYBIT-PERP_BTCUSDT_1m_7d.csv.gz", M1, 10_080),
        ("BYBIT-PERP_ADAUSDT_1m_chunked.parquet", M1, 105_075),
    ],
)
def test_real_files_are_read_whole(name, timeframe, num_bars):
    if not REAL_DATA.exists():
        pytest.skip("the folder of real candles is absent")
    read = read_bar_file(REAL_DATA / name, timeframe, "open")
    assert (read.bars.height, read.num_unfinished) == (num_bars, 0)


@pytest.mark.real_data
def test_real_five_minute_file_is_refused_as_one_minute():
    if not REAL_DATA.exists():
        pytest.skip("the folder of real candles is absent")
    assert "must be the timeframe 1m, got 5m" in refusal(REAL_DATA / "BYBIT-PERP_BTCUSDT_5m.parquet")
