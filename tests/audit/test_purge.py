from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyscale.audit import check_purge
from polyscale.market.errors import DataError

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def split(parts, horizon=3):
    """One row an hour; parts by letter, a dot for a row that is left out."""
    names = {"a": "train", "v": "validate", "t": "test"}
    rows = [
        (START + i * HOUR, START + (i + horizon) * HOUR, names[part])
        for i, part in enumerate(parts)
        if part in names
    ]
    return pl.DataFrame(rows, schema=["time", "label_end", "part"], orient="row")


@pytest.mark.parametrize(
    "parts", ["aaaaaa..vvvvv..ttttt", "aaaaa..ttttt", "aaaa..ttttt..aaaa", "aa..tt..aa..tt", "ttttt..aaaaa"]
)
def test_a_split_with_the_horizon_left_out_is_clean(parts):
    assert check_purge(split(parts)).findings == ()


@pytest.mark.parametrize(
    ("parts", "pair", "count", "hours"),
    [
        ("aaaaaattttt", "train|test", "2 of 6", 2),
        ("aaaaaa.ttttt", "train|test", "1 of 6", 1),
        ("aaaaaavvv..ttttt", "train|validate", "2 of 6", 2),
        ("aaaaaa..vvvttttt", "validate|test", "2 of 3", 2),
        ("aatatatt", "train|test", "4 of 4", 2),
    ],
)
def test_labels_that_reach_into_a_later_part_are_counted(parts, pair, count, hours):
    (finding,) = [each for each in check_purge(split(parts)).findings if each.test == "purge"]
    assert finding.column == pair
    assert finding.note.startswith(f"{count} rows of {pair.split('|')[0]} have labels that end after")
    assert finding.reach.ms == hours * 3_600_000


def test_training_after_a_test_waits_for_its_labels():
    (finding,) = check_purge(split("aaa..tttaaaaaa")).findings
    assert finding.test == "embargo"
    assert finding.note == "2 of 9 rows of train lie in labels of test, the worst by 2h"
    assert check_purge(split("aaa..ttt..aaaaaa")).clean
    assert not check_purge(split("aaa..ttt..aaaaaa"), embargo=HOUR).clean
    assert check_purge(split("aaa..ttt...aaaaaa"), embargo=HOUR).clean


def test_two_symbols_at_one_time_may_not_be_parted():
    rows = pl.concat([split("aaa..", 1), split("aat..", 1)])
    (purge, embargo) = check_purge(rows).findings
    assert purge.note.startswith("1 of 5 rows of train have labels that end after rows of test")
    assert embargo.note.startswith("1 of 5 rows of train lie in labels of test")


def test_a_long_label_of_the_test_is_waited_for_behind_a_short_one():
    rows = split("tta").with_columns(label_end=pl.col("time") + pl.Series([5 * HOUR, HOUR / 2, HOUR]))
    (finding,) = check_purge(rows).findings
    assert finding.note == "1 of 1 rows of train lie in labels of test, the worst by 3h"


def test_validation_after_a_test_is_no_matter_of_embargo():
    assert check_purge(split("aaa..ttt..vvv")).clean


@given(gap=st.integers(0, 6), horizon=st.integers(1, 6))
def test_a_gap_of_the_horizon_less_one_row_is_what_it_takes(gap, horizon):
    assert check_purge(split("a" * 8 + "." * gap + "t" * 8, horizon)).clean is (gap >= horizon - 1)


@given(st.text("avt.", min_size=4, max_size=30), st.integers(0, 9))
def test_it_agrees_with_a_look_at_every_pair(parts, seed):
    if not parts.strip("."):
        return
    hours = np.random.default_rng(seed).integers(1, 7, len(split(parts)))
    rows = split(parts).with_columns(label_end=pl.col("time") + pl.duration(hours=pl.Series(hours)))
    if "train" not in rows["part"] or rows["part"].n_unique() == 1:
        return
    broken = any(
        mine["time"] < theirs["time"] < mine["label_end"]
        for mine in rows.iter_rows(named=True)
        for theirs in rows.iter_rows(named=True)
        if mine["part"] != theirs["part"] and "train" in (mine["part"], theirs["part"])
    )
    found = [each for each in check_purge(rows).findings if "train" in each.column]
    assert bool(found) is broken


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (split("aaattt").drop("part"), r"must have label_end and part, missing \['part'\]"),
        (split("aaa"), r"must have a part 'train' and another one, got \['train'\]"),
        (split("vvvttt"), "must have a part 'train'"),
        (split("aaattt").with_columns(label_end=pl.lit(None, pl.Datetime("us", "UTC"))), "must not be null"),
    ],
)
def test_a_split_that_cannot_be_read_is_an_error(rows, message):
    with pytest.raises(DataError, match=message):
        check_purge(rows)


def test_the_training_part_may_have_another_name():
    rows = split("aaaaaattttt").with_columns(pl.col("part").replace("train", "fit"))
    assert not check_purge(rows.to_pandas(), train="fit").clean
