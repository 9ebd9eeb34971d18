import polars as pl
import pytest

from polyscale.exchange.table_file import naming, pick_columns, read_table
from polyscale.market.errors import DataError


def test_cells_of_csv_stay_text_and_empty_ones_are_null(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n007,\n1e3,x\n\n")
    assert read_table(path).rows() == [("007", None), ("1e3", "x")]


def test_path_with_marks_of_a_pattern_is_one_file(tmp_path):
    path = tmp_path / "bars[1]*.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    assert read_table(path).rows() == [(1,)]


def test_mapped_name_goes_before_a_recognised_one():
    frame = pl.DataFrame({"Close": [1.0], "adjusted": [2.0]})
    wanted = {"close": ("close",), "volume": ("volume",)}
    assert pick_columns(frame, wanted, None) == {"close": "Close"}
    assert pick_columns(frame, wanted, {"close": "adjusted"}) == {"close": "adjusted"}


def test_naming_puts_the_file_before_the_rule(tmp_path):
    with pytest.raises(DataError, match=f"^{tmp_path}: rule$"), naming(tmp_path):
        raise DataError("rule")
