"""What to ask a source for: the bars of a span that are not stored and not known to be absent."""

from __future__ import annotations

import polars as pl

from polyscale.exchange.source import Window
from polyscale.market.timeframe import Timeframe
from polyscale.store.gaps import GapKind


def plan_windows(gaps: pl.DataFrame, timeframe: Timeframe, page_bars: int, from_ms: int = 0) -> list[Window]:
    """Cover the bars that were not fetched by windows of at most a page, as few as a sweep finds.

    Parameters
    ----------
    gaps
        As `gaps_in` lists them, ascending.
    from_ms
        Bars that begin before are left out.

    Returns
    -------
    list of Window
        Ascending and apart. Two near holes share a window: the stored bars between them come again and change
        nothing.
    """
    asked = gaps.filter(pl.col("kind") == GapKind.NOT_FETCHED.value)
    closes = asked.select(pl.col("first_close_time", "last_close_time").dt.epoch("ms"))
    step_ms, page_ms = timeframe.ms, page_bars * timeframe.ms
    windows: list[Window] = []
    for first_close_ms, last_close_ms in closes.iter_rows():
        first_ms, last_ms = max(first_close_ms - step_ms, from_ms), last_close_ms - step_ms
        while first_ms <= last_ms:
            begin_ms = first_ms
            if windows and first_ms - windows[-1].first_ms < page_ms:
                begin_ms = windows.pop().first_ms  # there is room in the window before
            end_ms = min(last_ms, begin_ms + page_ms - step_ms)
            windows.append(Window(begin_ms, end_ms))
            first_ms = end_ms + step_ms
    return windows
