"""What the store knows beside the bars: why some are missing, which rows were set aside, what was revised."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from polyscale.market.bars import TIME, Market
from polyscale.market.timeframe import Timeframe
from polyscale.store.gaps import GAP_SCHEMA, gaps_in
from polyscale.store.layout import ABSENT, QUARANTINE, REVISIONS, Layout, bars_partition
from polyscale.store.store import Store


def gaps(
    store: Store,
    market: Market,
    timeframe: Timeframe,
    first_close: datetime | None = None,
    last_close: datetime | None = None,
) -> pl.DataFrame:
    """List the missing bars of a series as `gaps_in` does.

    Parameters
    ----------
    first_close, last_close
        Close times on the grid, both included; absent for the first and the last stored bar.
    """
    times = store.close_times(market, timeframe)
    ends = [
        first_close or (times[0] if len(times) else None),
        last_close or (times[-1] if len(times) else None),
    ]
    if None in ends:
        return GAP_SCHEMA.to_frame()
    first_ms, last_ms = pl.Series(ends, dtype=TIME).dt.epoch("ms")
    return gaps_in(times, _read(store, ABSENT, market, timeframe), timeframe, first_ms, last_ms)


def write_absent(store: Store, market: Market, timeframe: Timeframe, runs: pl.DataFrame) -> None:
    """Note runs of bars that the exchange does not have.

    Parameters
    ----------
    runs
        ``first_close_time``, ``last_close_time``, ``asked_time`` (by the exchange's clock), ``kind``. Where
        they overlap with noted ones, what was asked last holds.
    """
    _write(store, ABSENT, market, timeframe, runs)


def write_quarantine(store: Store, market: Market, timeframe: Timeframe, rows: pl.DataFrame) -> None:
    """Keep rows that came and broke a rule: ``start_time``, ``seen_time``, ``reason``, ``raw``."""
    _write(store, QUARANTINE, market, timeframe, rows)


def read_quarantine(store: Store, market: Market, timeframe: Timeframe) -> pl.DataFrame:
    """The rows that were set aside, by their start."""
    return _read(store, QUARANTINE, market, timeframe)


def read_revisions(store: Store, market: Market, timeframe: Timeframe) -> pl.DataFrame:
    """What revised bars were before, by close time, with the ``revised_time``."""
    return _read(store, REVISIONS, market, timeframe)


def _write(store: Store, layout: Layout, market: Market, timeframe: Timeframe, rows: pl.DataFrame) -> None:
    rows = rows.select(pl.col(name).cast(kind) for name, kind in layout.values.items())
    table, partition = store.table(layout), bars_partition(market, timeframe)
    if rows.is_empty():
        return
    if layout.is_unique:
        table.upsert({partition: rows})
    else:
        table.append(partition, rows)


def _read(store: Store, layout: Layout, market: Market, timeframe: Timeframe) -> pl.DataFrame:
    table = store.table(layout)
    opened = table.open()
    return table.read(opened, bars_partition(market, timeframe)) if opened else layout.values.to_frame()
