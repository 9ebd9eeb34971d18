"""A user's file of funding rates -> checked funding.

In: CSV or Parquet with the time of each payment and its rate. Out: a frame of `FUNDING_SCHEMA`: the rate is
a fraction of the position, paid by longs at ``time``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from polyscale.exchange.file_numbers import parse_numbers
from polyscale.exchange.file_times import parse_times
from polyscale.exchange.table_file import naming, pick_columns, read_table
from polyscale.market.bars import check_funding
from polyscale.market.errors import DataError

_WANTED: Final = {
    "time": ("time", "funding_time", "timestamp", "date", "datetime"),
    "funding_rate": ("funding_rate", "fundingrate"),
}


def read_funding_file(path: Path | str, columns: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Read funding rates from CSV (``.csv``, ``.csv.gz``, ``.txt``) or Parquet, times as in `parse_times`.

    Rows are neither sorted nor filled nor dropped.

    Parameters
    ----------
    path
        The file.
    columns
        Contract's name (``time``, ``funding_rate``) to the file's own.

    Raises
    ------
    ConfigError
        For an unknown key of ``columns``.
    DataError
        For every way in which the file fails to hold sorted, finite rates; names the file.
    """
    path = Path(path)
    with naming(path):
        table = read_table(path)
        own = pick_columns(table, _WANTED, columns)
        missing = [name for name in _WANTED if name not in own]
        if missing:
            raise DataError(
                f"must hold funding rates, missing columns {missing}, found {table.columns}; if they have "
                f"other names, say so by columns={{{missing[0]!r}: '<its name>'}}"
            )
        times = parse_times(table[own["time"]]).alias("time")
        rates = parse_numbers(table[own["funding_rate"]]).alias("funding_rate")
        try:
            return check_funding(pl.DataFrame([times, rates]))
        except DataError as error:
            raise DataError(f"{error} (rows count from 0 below the header); correct the file") from error
