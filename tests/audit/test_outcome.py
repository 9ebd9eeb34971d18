import json
from datetime import UTC, datetime

import polars as pl
import pytest

from polyscale.audit import Audit, Finding, Plan, Reach, Scope, check
from polyscale.audit.outcome import duration, shown_pair
from tests.audit.market import CLOSE, five_minutes

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
LEAK = Finding("prefix", "x", NOON, NOON, 1.0, None, "bars.close", Reach(1_800_000, 6))


def test_a_finding_says_what_it_knew_and_how_far_ahead():
    assert str(LEAK) == "x at 2025-03-01 12:00 knows bars.close 30m (6 bars) ahead (prefix: 1 became null)"


def test_an_audit_is_a_table_that_people_read():
    audit = Audit((LEAK,), (Scope("prefix", 3, 1_200, 1, ("a note",)), Scope("rows", 0, 0, 0)))
    assert str(audit).splitlines() == [
        "1 finding in 1 column",
        "",
        "test    cuts   rows  findings  notes",
        "prefix     3  1,200         1  a note",
        "rows              0         0",
        "",
        "column  row               knew        ahead         test    what moved",
        "x       2025-03-01 12:00  bars.close  30m (6 bars)  prefix  1 -> null",
    ]


def test_an_audit_is_strict_json():
    infinite = Finding("finite", "y", NOON, None, float("inf"), note="1 of 3 values are infinite")
    audit = Audit((LEAK, infinite), (Scope("prefix", 3, 1_200, 1, ("a note",)),))
    read = json.loads(audit.to_json())
    assert read == audit.to_dict()
    assert read["clean"] is False
    assert read["findings"][0]["row"] == "2025-03-01T12:00:00+00:00"
    assert read["findings"][0]["reach"] == {
        "ms": 1_800_000,
        "bars": 6,
        "to_end": False,
        "text": "30m (6 bars)",
    }
    assert read["findings"][1]["before"] == "inf"
    assert read["tests"][0]["notes"] == ["a note"]


def test_two_values_are_shown_with_the_digits_that_tell_them_apart():
    assert shown_pair(1.0, 2.0) == ("1", "2")
    assert shown_pair(0.1234567, 0.1234568) == ("0.1234567", "0.1234568")
    assert shown_pair(None, "up") == ("null", "up")
    assert shown_pair(3.0, 3.0) == ("3", "3")


def test_a_whole_audit_goes_through_json():
    stage = lambda bars: bars.select("close_time", x=CLOSE.shift(-1), up=CLOSE.shift(-2) > 0)  # noqa: E731
    audit = check(stage, five_minutes(3), plan=Plan(newest_cuts=4))
    assert json.loads(audit.to_json())["findings"][1]["before"] is True


def test_audits_are_joined_in_order():
    one, two = Audit((LEAK,), (Scope("prefix", 1, 1, 1),)), Audit((), (Scope("purge", 0, 9, 0),))
    joined = Audit.join(two, one, two)
    assert joined.findings == (LEAK,)
    assert [scope.test for scope in joined.tests] == ["purge", "prefix", "purge"]
    assert not joined.clean
    assert two.clean


def test_joined_audits_say_what_each_line_is_of():
    one, two = (Audit((), (Scope("prefix", 1, 9, 0),)).named(name) for name in ("features", "signal"))
    assert str(one.join(two)).splitlines()[2:] == [
        "of        test    cuts  rows  findings",
        "features  prefix     1     9         0",
        "signal    prefix     1     9         0",
    ]


def test_findings_of_one_column_share_a_line():
    bars = five_minutes(3)
    text = str(
        check(lambda bars: bars.select("close_time", x=CLOSE.shift(-1)), bars, plan=Plan(newest_cuts=4))
    )
    lines = [line for line in text.splitlines() if line.startswith("x ")]
    assert len(lines) == 1
    assert "  prefix, poison-nan, -1e9, -permuted  " in lines[0]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0m"),
        (300_000, "5m"),
        (5_400_000, "1h 30m"),
        (172_800_000, "2d"),
        (1_500, "1s 500ms"),
        (-60_000, "-1m"),
    ],
)
def test_a_duration_is_read_at_a_glance(ms, text):
    assert duration(ms) == text


def test_nothing_found_says_so():
    audit = check(lambda bars: bars.select("close_time", "close"), five_minutes(3))
    assert str(audit).startswith("clean: nothing found by 10 tests")
    assert pl.DataFrame(audit.to_dict()["tests"])["findings"].sum() == 0
