"""What a write would change: incoming rows against the stored ones, by time."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from polyscale.store.layout import Layout


class Changes(NamedTuple):
    """The rows that a write must touch, and how the incoming rows divide."""

    rows: pl.DataFrame
    replaced: pl.DataFrame  # the stored rows that give way to others
    num_inserted: int
    num_unchanged: int

    @property
    def num_updated(self) -> int:
        """How many stored rows give way."""
        return self.replaced.height


def changes_between(stored: pl.DataFrame, incoming: pl.DataFrame, layout: Layout) -> Changes:
    """Find the incoming rows that are new or differ from what is stored.

    A null where the layout allows it says that the source does not know the number (a file without
    turnover): by itself it revises nothing. If another number of the row differs, the row is taken whole,
    so that no turnover stays beside a volume that it does not belong to.
    """
    time = layout.time
    both = incoming.join(stored.with_columns(is_stored=True), on=time, how="left", suffix="_stored")
    is_stored = pl.col("is_stored").fill_null(False)
    differs = pl.any_horizontal([_differs(name, layout) for name in layout.values if name != time])
    kind = both.select(inserted=~is_stored, updated=is_stored & differs)
    rows = incoming.filter(kind["inserted"] | kind["updated"])
    revised = incoming.filter(kind["updated"]).select(time)
    replaced = stored.join(revised, on=time, how="semi")
    return Changes(rows, replaced, rows.height - replaced.height, incoming.height - rows.height)


def _differs(name: str, layout: Layout) -> pl.Expr:
    differs = pl.col(name).ne_missing(pl.col(f"{name}_stored"))
    return differs & pl.col(name).is_not_null() if name in layout.nullable else differs
