"""Bars that the exchange was asked for and does not have, and why.

In: pages as they came, and bars of a market that trades whenever the exchange does. Out: rows for the
store's ledger. A missing bar is laid to the exchange if the reference lacks it too, and to the market if not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.exchange.source import Page, Window
from polyscale.market.timeframe import DAY_MS, Timeframe
from polyscale.store.gaps import GapKind
from polyscale.store.layout import ABSENT

_HERE: Final = ""  # in place of a kind: the bar is there, or it may still come
SETTLED_MS: Final = 300_000  # a bar that is not there so long after its close does not come any more


@dataclass(frozen=True)
class Facts:
    """What is known of a market before its pages are looked at."""

    timeframe: Timeframe
    asked_ms: int  # by the exchange's clock
    listed_day_ms: int | None  # begin of the first day on which it traded; none if nobody asked
    first_bar_ms: int | None  # start of the earliest bar that is known


def windows_with_absent(pages: list[Page], facts: Facts) -> list[Window]:
    """The windows in which a bar is missing for a reason that a reference can tell."""
    return [page.window for page in pages if (_kinds(page, facts, None) == GapKind.ABSENT.value).any()]


def around(window: Window, timeframe: Timeframe, page_bars: int) -> Window:
    """A whole page that ends with a window: whether the reference traded at all must show in it."""
    return Window(window.last_ms - (page_bars - 1) * timeframe.ms, window.last_ms)


def absent_runs(pages: list[Page], facts: Facts, reference: Mapping[Window, Page]) -> pl.DataFrame:
    """List the runs of missing bars of one kind, for `ledger.write_absent`.

    Parameters
    ----------
    reference
        Pages of a reference market around windows, by window. One without any bar says nothing, for the
        reference may not have been listed: the kind stays 'absent', as where there is none.
    """
    rows = []
    for page in pages:
        kinds = _kinds(page, facts, reference.get(page.window))
        edges = np.flatnonzero(kinds[1:] != kinds[:-1]) + 1
        for begin, end in zip([0, *edges], [*edges, len(kinds)], strict=True):
            if kinds[begin] != _HERE:
                first_close_ms = page.window.first_ms + (int(begin) + 1) * facts.timeframe.ms
                last_close_ms = page.window.first_ms + int(end) * facts.timeframe.ms
                rows.append((first_close_ms, last_close_ms, facts.asked_ms, str(kinds[begin])))
    frame = pl.DataFrame(rows, dict.fromkeys(ABSENT.values, pl.Int64) | {"kind": pl.String}, orient="row")
    times = pl.col(list(ABSENT.values)[:3]).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    return frame.with_columns(times)


def _kinds(page: Page, facts: Facts, reference: Page | None) -> NDArray[np.str_]:
    """A kind per bar of the window."""
    step_ms, num_bars = facts.timeframe.ms, page.window.num_bars(facts.timeframe)
    starts_ms = page.window.first_ms + step_ms * np.arange(num_bars)
    kinds = np.full(num_bars, GapKind.ABSENT.value, "<U16")
    if reference is not None and not reference.bars.is_empty():
        kinds[:] = GapKind.OUTAGE.value
        kinds[_places(reference.bars, page.window, step_ms)] = GapKind.HALTED.value
    kinds[_is_before_listing(starts_ms, facts)] = GapKind.PRE_LISTING.value
    rejected = [row.start_ms for row in page.rejected]
    kinds[np.isin(starts_ms, rejected)] = GapKind.QUARANTINED.value
    here = _places(page.bars, page.window, step_ms)
    settled = starts_ms + step_ms <= facts.asked_ms - SETTLED_MS
    if len(here):
        settled[: here[-1]] = True  # a later bar is there
    kinds[~settled] = _HERE
    kinds[here] = _HERE
    return kinds


def _places(bars: pl.DataFrame, window: Window, step_ms: int) -> NDArray[np.int64]:
    """Which bars of a window are there."""
    starts_ms = bars["close_time"].dt.epoch("ms").to_numpy() - step_ms
    inside = (starts_ms >= window.first_ms) & (starts_ms <= window.last_ms)
    return (starts_ms[inside] - window.first_ms) // step_ms


def _is_before_listing(starts_ms: NDArray[np.int64], facts: Facts) -> NDArray[np.bool_]:
    """Before the first day, or on it and before its first bar."""
    if facts.listed_day_ms is None:
        return np.zeros(len(starts_ms), bool)
    first_ms = facts.listed_day_ms
    if facts.first_bar_ms is not None and facts.first_bar_ms < facts.listed_day_ms + DAY_MS:
        first_ms = max(first_ms, facts.first_bar_ms)
    return starts_ms < first_ms
