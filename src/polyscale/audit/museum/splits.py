"""A leak of the split: labels that reach over its edges."""

from __future__ import annotations

import polars as pl

from polyscale.audit.museum.exhibit import Exhibit, five_minutes
from polyscale.audit.purge import check_purge

_HORIZON = "4h"
_SHARES = (0.6, 0.8)  # of the rows: training ends, validation ends


def split_by_share() -> pl.DataFrame:
    """Sixty, twenty and twenty per cent of the rows, one after the other."""
    rows = five_minutes().select(time="close_time", label_end=pl.col("close_time").dt.offset_by(_HORIZON))
    place = pl.int_range(pl.len()) / pl.len()
    part = pl.when(place < _SHARES[0]).then(pl.lit("train")).when(place < _SHARES[1]).then(pl.lit("validate"))
    return rows.with_columns(part=part.otherwise(pl.lit("test")))


def split_and_purged() -> pl.DataFrame:
    """The same without the rows whose labels end in a later part."""
    rows = split_by_share()
    starts = rows.group_by("part").agg(pl.col("time").min().alias("start")).sort("start")
    following = starts.with_columns(next=pl.col("start").shift(-1)).drop("start")
    return rows.join(following, on="part").filter(
        pl.col("next").is_null() | (pl.col("label_end") <= pl.col("next"))
    )


SPLITS = (
    Exhibit(
        "purge forgotten",
        "the label of the last training rows is made of prices that the test is judged on",
        lambda: check_purge(split_by_share()),
        lambda: check_purge(split_and_purged()),
    ),
)
