import pytest

from polyscale.ingest.spans import Span, read_instant_ms
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe

H1, HOUR_MS, DAY_MS = Timeframe(60), 3_600_000, 86_400_000
NOW_MS = 1_735_689_600_000 + HOUR_MS // 2  # half past midnight


def test_days_are_whole_bars_up_to_now():
    assert Span(None, None, 1.0, 30.0).ends_ms(NOW_MS, H1) == (NOW_MS - HOUR_MS // 2 - DAY_MS, NOW_MS)
    assert Span(None, None, None, 30.0).ends_ms(NOW_MS, H1)[0] == NOW_MS - HOUR_MS // 2 - 30 * DAY_MS


def test_end_is_never_later_than_now():
    assert Span(5, NOW_MS + 1, None, 30.0).ends_ms(NOW_MS, H1) == (5, NOW_MS)
    assert Span(5, NOW_MS - 1, None, 30.0).ends_ms(NOW_MS, H1) == (5, NOW_MS - 1)


@pytest.mark.parametrize(
    ("span", "rule"),
    [
        (Span(5, None, 3.0, 30.0), "either --days or --since must be given"),
        (Span(NOW_MS, None, None, 30.0), "must end after it begins"),
        (Span(9, 8, None, 30.0), "must end after it begins"),
        (Span(None, None, 0.0, 30.0), "days must be > 0"),
        (Span(None, None, float("nan"), 30.0), "days must be > 0"),
    ],
)
def test_span_that_makes_no_sense_is_refused(span, rule):
    with pytest.raises(ConfigError, match=rule):
        span.ends_ms(NOW_MS, H1)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        (None, None),
        ("2025-01-01", 1_735_689_600_000),
        ("2025-01-01T01:00", 1_735_693_200_000),
        ("2025-01-01T01:00+01:00", 1_735_689_600_000),
        ("2025-01-01T00:00:00Z", 1_735_689_600_000),
    ],
)
def test_instants_are_in_utc_where_they_name_no_zone(text, ms):
    assert read_instant_ms(text) == ms


@pytest.mark.parametrize("text", ["yesterday", "", "1735689600000", "01/02/2025"])
def test_text_that_is_no_iso_date_is_refused(text):
    with pytest.raises(ConfigError, match="must be written as 2025-01-31"):
        read_instant_ms(text)
