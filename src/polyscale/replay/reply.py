"""The exchange's answers as text: an envelope around a result, rows of candles rendered at once.

In: candles, numbers, words. Out: JSON as the exchange writes it, newest first, numbers as strings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from polyscale.replay.candles import Candle, Candles
from polyscale.replay.decimals import decimal_text, decimal_texts


@dataclass(frozen=True)
class Reply:
    """A code, and where that is 0 the fields of the result and the rows of its list, as JSON texts."""

    code: int = 0
    said: str = "OK"
    fields: dict[str, Any] = field(default_factory=dict)
    rows: Sequence[str] | None = None

    def body(self, now_ms: int) -> str:
        """The whole answer."""
        result = json.dumps(self.fields, separators=(",", ":"))
        if self.rows is not None:
            opened = result[:-1] + ("," if self.fields else "")
            result = f'{opened}"list":[{",".join(self.rows)}]}}'
        return (
            f'{{"retCode":{self.code},"retMsg":{json.dumps(self.said)},"result":{result},'
            f'"retExtInfo":{{}},"time":{now_ms}}}'
        )


class BadParameterError(Exception):
    """A request that the exchange refuses with ``retCode`` 10001."""


def candle_rows(candles: Candles, forming: Candle | None, *, swapped: bool, priced_only: bool) -> list[str]:
    """Rows of a page, newest first.

    Parameters
    ----------
    swapped
        Write the turnover where the volume stands and the volume after it, as inverse markets do.
    priced_only
        Leave both out, as pages of mark prices do.
    """
    numbers = _wire_order(candles, swapped=swapped, priced_only=priced_only)[1:]
    texts = pl.DataFrame([pl.Series("start", candles.start_ms).cast(pl.String)]).with_columns(
        decimal_texts(column).alias(str(idx)) for idx, column in enumerate(numbers)
    )
    pattern = "[" + ",".join(['"{}"'] * texts.width) + "]"
    rows: list[str] = texts.reverse().select(pl.format(pattern, *texts.columns)).to_series().to_list()
    if forming is None:
        return rows
    newest = _wire_order(forming, swapped=swapped, priced_only=priced_only)
    return [json.dumps([str(newest[0]), *map(decimal_text, newest[1:])], separators=(",", ":")), *rows]


def _wire_order(candle: Sequence[Any], *, swapped: bool, priced_only: bool) -> list[Any]:
    start, first, high, low, last, volume, turnover = candle
    prices = [start, first, high, low, last]
    if priced_only:
        return prices
    return [*prices, *((turnover, volume) if swapped else (volume, turnover))]
