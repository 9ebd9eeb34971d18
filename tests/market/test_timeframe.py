import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyscale.market.errors import ConfigError
from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe


@given(st.integers(1, 100_000))
def test_text_of_a_timeframe_parses_back(minutes):
    assert Timeframe.parse(str(Timeframe(minutes))) == Timeframe(minutes)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("60m", "1h"),
        ("1H", "1h"),
        ("1min", "1m"),
        ("1D", "1d"),
        ("24h", "1d"),
        ("7d", "1w"),
        ("4H", "4h"),
        ("D", "1d"),
    ],
)
def test_one_parser_reads_every_spelling(text, name):
    assert str(Timeframe.parse(text)) == name


@pytest.mark.parametrize("text", ["", "5", "0m", "1M", "5x", "m5", "1.5h", "-5m"])
def test_what_is_no_timeframe_is_refused_with_its_text(text):
    with pytest.raises(ConfigError, match="timeframe must be") as caught:
        Timeframe.parse(text)
    assert repr(text) in str(caught.value)


def test_weeks_begin_on_monday():
    monday_ms = 1_735_516_800_000  # 2024-12-30 00:00 UTC
    assert (monday_ms - Timeframe.parse("1w").offset_ms) % Timeframe.parse("1w").ms == 0


def test_bars_in_refuses_what_is_no_multiple():
    assert Timeframe(5).bars_in(Timeframe(60)) == 12
    with pytest.raises(ConfigError, match="whole multiple of 7m"):
        Timeframe(7).bars_in(Timeframe(60))


def test_a_config_field_reads_text_and_writes_text():
    class Holder(Settings):
        timeframe: Timeframe

    holder = Holder(timeframe="60m")
    assert holder.timeframe == Timeframe(60)
    assert holder.model_dump(mode="json") == {"timeframe": "1h"}
