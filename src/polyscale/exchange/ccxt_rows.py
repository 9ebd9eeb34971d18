"""Rows of candles as ccxt gives them -> checked ones. Pure: no network, no clock.

In: lists ``[start ms, open, high, low, close, volume]`` of floats, in any order, doubled, a few too many.
Out: candles of a window in the contract's units, ascending, and the rejected ones with their reason. ccxt
gives no turnover: it is unknown. Nor does it say whether a candle is closed; who asks must know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from polyscale.exchange.bybit_candle import Kline
from polyscale.exchange.bybit_wire import Candles, Rejected
from polyscale.exchange.errors import WireError
from polyscale.exchange.source import Window
from polyscale.exchange.wire_fields import check_time_ms, refused, shown
from polyscale.market.timeframe import Timeframe

Row = Sequence[Any]
_FIELDS = 6


def rows_in(asked: str, answer: Any, window: Window) -> list[Row]:
    """The rows that begin in a window; exchanges give more than was asked for.

    Raises
    ------
    WireError
        If the answer is no list, or a row tells no time.
    """
    if not isinstance(answer, list):
        raise refused(asked, "the answer must be a list of rows", answer)
    return [row for row in answer if window.first_ms <= _start_ms(asked, row) <= window.last_ms]


def uncovered(rows: Sequence[Row], window: Window, timeframe: Timeframe) -> list[Window]:
    """What is left of a window before the first and after the last of its rows, of which there is one.

    Exchanges give less at once than they are asked for, and keep either end of it.
    """
    first_ms, last_ms = min(row[0] for row in rows), max(row[0] for row in rows)
    before = Window(window.first_ms, timeframe.floor_ms(first_ms - 1))
    after = Window(timeframe.ceil_ms(last_ms + 1), window.last_ms)
    return [part for part in (before, after) if part.first_ms <= part.last_ms]


def read_rows(asked: str, rows: Sequence[Row], timeframe: Timeframe, volume_unit: float) -> Candles:
    """Check rows that have a time: ascending, equal repeats dropped.

    Parameters
    ----------
    volume_unit
        Base coin per unit of the rows' volume: the size of a contract where volume counts those.

    Returns
    -------
    Candles
        A row is rejected for a start off the grid, a number that is not finite, prices <= 0, low above or
        high below open or close, a negative volume, or another row of its time with other numbers.
    """
    kept: dict[int, Kline] = {}
    rejected: dict[int, Rejected] = {}
    for row in rows:
        start_ms = row[0]
        try:
            candle = _read_row(asked, row, timeframe, volume_unit)
            if kept.setdefault(start_ms, candle) != candle:
                raise refused(
                    asked, f"two rows of one time must be equal, first {tuple(kept[start_ms])}", row
                )
        except WireError as error:
            rejected.setdefault(start_ms, Rejected(start_ms, str(error), shown(row)))
    sound = [kept[start_ms] for start_ms in sorted(kept) if start_ms not in rejected]
    return Candles(sound, [rejected[start_ms] for start_ms in sorted(rejected)])


def _start_ms(asked: str, row: Any) -> int:
    return check_time_ms(asked, row[0] if isinstance(row, list) and row else row)


def _read_row(asked: str, row: Row, timeframe: Timeframe, volume_unit: float) -> Kline:
    if len(row) != _FIELDS:
        raise refused(asked, f"a row must be a list of {_FIELDS} numbers", row)
    start_ms, *numbers = row
    if (start_ms - timeframe.offset_ms) % timeframe.ms:
        raise refused(asked, f"a start must lie on the grid of {timeframe}", start_ms)
    first, high, low, last, volume = (_number(asked, number) for number in numbers)
    if not 0 < low <= min(first, last) <= max(first, last) <= high:
        raise refused(asked, "prices must be > 0 with low <= open, close <= high", row)
    if volume < 0:
        raise refused(asked, "volume must be >= 0", row)
    return Kline(start_ms, first, high, low, last, volume * volume_unit, None)


def _number(asked: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refused(asked, "a number must be finite", value)
    return float(value)
