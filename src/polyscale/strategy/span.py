"""The bars over which a forecast is traded.

In: bars, a forecast. Out: the bars from its first origin to its last.
"""

from __future__ import annotations

import polars as pl

from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast


def bars_of_test(bars: pl.DataFrame, forecast: Forecast) -> pl.DataFrame:
    """Bars from the first origin to the last.

    What is decided at the last one is never filled: no bar after it is looked at.

    Raises
    ------
    DataError
        If there is no origin.
    """
    if len(forecast) == 0:
        raise DataError("there is nothing to trade: the forecast is empty")
    first = pl.Series(forecast.close_time[:1]).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")[0]
    last = pl.Series(forecast.close_time[-1:]).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")[0]
    return bars.filter(pl.col("close_time").is_between(first, last))
