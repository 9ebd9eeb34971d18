"""Numbers as files write them -> Float64, by strict syntax.

``1_000``, ``1,5``, ``nan`` and ``Infinity`` are no numbers here: what a lenient reader makes of them is a
price that nobody quoted.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from polyscale.market.errors import DataError

_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def parse_numbers(values: pl.Series) -> pl.Series:
    """Return the column as Float64; null stays null, and whether it may is the contract's to say.

    Raises
    ------
    DataError
        For text that is no decimal number, a number beyond the range of a double, NaN or infinity in a
        binary column, and types that hold no numbers; names the column and the first such row.
    """
    if values.dtype == pl.Null:
        return values.cast(pl.Float64)
    if values.dtype == pl.String:
        text = pl.lit(values).str.strip_chars(" \t")
        strict = pl.when(text.str.contains(_NUMBER)).then(text.cast(pl.Float64, strict=False))
        numbers = pl.select(strict).to_series().alias(values.name)
    elif values.dtype.is_numeric():
        numbers = values.cast(pl.Float64)
    else:
        raise DataError(
            f"column {values.name!r} must hold numbers, got {values.dtype}; convert it to Float64"
        )
    broken = values.is_not_null() & ~numbers.is_finite().fill_null(False)
    if broken.any():
        row = int(broken.arg_true()[0])
        raise DataError(
            f"column {values.name!r} must hold finite decimal numbers such as 1234.5, got {values[row]!r} in "
            f"row {row} ({broken.sum()} such rows; rows count from 0 below the header); correct the file"
        )
    return numbers
