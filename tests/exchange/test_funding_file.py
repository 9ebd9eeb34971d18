from pathlib import Path

import polars as pl
import pytest

from polyscale.exchange.funding_file import read_funding_file
from polyscale.market.bars import FUNDING_SCHEMA
from polyscale.market.errors import DataError
from tests.exchange.candles import make_candles, write_csv, write_parquet

REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ROWS = ("2024-01-01T00:00:00Z,0.0001", "2024-01-01T08:00:00Z,-0.00025")


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        read_funding_file(path, **options)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_csv_and_parquet_give_the_same_rates(tmp_path):
    from_csv = read_funding_file(write_csv(tmp_path, *ROWS, header="time,funding_rate"))
    from_parquet = read_funding_file(write_parquet(tmp_path, from_csv))
    assert from_csv.schema == FUNDING_SCHEMA
    assert from_csv["funding_rate"].to_list() == [0.0001, -0.00025]
    assert from_parquet.equals(from_csv)


def test_columns_map_the_files_own_names(tmp_path):
    path = write_csv(tmp_path, *ROWS, header="paid,rate")
    assert read_funding_file(path, {"time": "paid", "funding_rate": "rate"}).height == 2


def test_file_of_candles_holds_no_funding(tmp_path):
    message = refusal(write_parquet(tmp_path, make_candles(time="time")))
    assert "must hold funding rates, missing columns ['funding_rate']" in message


@pytest.mark.parametrize("rows", [ROWS[::-1], (*ROWS, ROWS[1])])
def test_unsorted_and_doubled_times_are_refused(tmp_path, rows):
    path = write_csv(tmp_path, *rows, header="time,funding_rate")
    assert "time must rise and not repeat" in refusal(path)


def test_empty_rate_is_refused(tmp_path):
    path = write_csv(tmp_path, "2024-01-01T00:00:00Z,", header="time,funding_rate")
    assert "funding_rate must be a finite number" in refusal(path)


def test_percent_sign_is_no_number(tmp_path):
    path = write_csv(tmp_path, "2024-01-01T00:00:00Z,0.01%", header="time,funding_rate")
    assert "got '0.01%' in row 0" in refusal(path)


@pytest.mark.real_data
def test_real_funding_is_read_whole():
    if not REAL_DATA.exists():
        pytest.skip("the folder of real candles is absent")
    path = REAL_DATA / "funding" / "BYBIT-PERP_BTCUSDT_funding.parquet"
    assert read_funding_file(path).equals(pl.read_parquet(path))
