"""Whatever the bytes, a parser gives sound rows or our own error."""

import json
import math
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyscale.exchange.bybit_wire import (
    parse_funding,
    parse_instrument,
    parse_instruments,
    parse_klines,
    parse_mark_klines,
    parse_server_time,
)
from polyscale.exchange.errors import ExchangeError
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import (
    FIRST_MS,
    MINUTE_MS,
    answer,
    candle,
    funding_answer,
    instrument,
    kline_answer,
)

M1 = Timeframe(1)
ROWS = [candle(FIRST_MS + i * MINUTE_MS) for i in (2, 1, 0)]
PAGES = [
    json.loads(body)
    for body in (
        kline_answer(*ROWS),
        kline_answer(*(row[:5] for row in ROWS)),
        funding_answer((FIRST_MS, "0.0001"), (FIRST_MS + 1, "-0.0002")),
        answer({"category": "linear", "list": [instrument("BTCUSDT")], "nextPageCursor": ""}),
        answer({"timeSecond": "1688639403", "timeNano": "1688639403423213947"}),
    )
]
ODD = st.sampled_from(
    [
        "",
        "nan",
        "Infinity",
        "1_000",
        "0",
        "-1",
        "1e999",
        "1e-999",
        "0x1",
        "٣",
        "9" * 40,
        str(FIRST_MS),
        "ETHUSDT",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | ODD
JSONS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def places_of(value, path=()):
    """Paths to every value inside a JSON document."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places_of(inner, (*path, key))


PLACES = [list(places_of(page))[1:] for page in PAGES]


@st.composite
def mutated_pages(draw):
    """A sound page, one to three of whose values are replaced, removed or doubled."""
    which = draw(st.integers(0, len(PAGES) - 1))
    page = json.loads(json.dumps(PAGES[which]))
    for _ in range(draw(st.integers(1, 3))):
        *path, key = draw(st.sampled_from(PLACES[which]))
        change = draw(st.sampled_from(["replace", "remove", "double"]))
        new = draw(LEAVES | JSONS) if change == "replace" else None
        try:
            holder = page
            for step in path:
                holder = holder[step]
            if change == "remove":
                del holder[key]
            else:
                holder[key] = [holder[key]] * 2 if change == "double" else new
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    return json.dumps(page).encode()


@st.composite
def wounded_bytes(draw):
    """The bytes of a sound page, some of them replaced, the rest perhaps cut off."""
    body = bytearray(json.dumps(draw(st.sampled_from(PAGES))).encode())
    for _ in range(draw(st.integers(0, 4))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(body)


BODIES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60),
    JSONS.map(json.dumps),
    JSONS.map(answer),
    st.lists(st.lists(LEAVES, max_size=7), max_size=3).map(lambda rows: kline_answer(*rows)),
    mutated_pages(),
    mutated_pages(),
    wounded_bytes(),
)


def check_every_parser(body):
    """Give the body to every parser; what comes out must be sound."""
    for parse in (parse_klines, parse_mark_klines):
        try:
            rows, rejected, _ = parse(body, "linear", "BTCUSDT", M1)
        except ExchangeError:
            continue
        times = [row.start_ms for row in rows]
        assert times == sorted(set(times))
        assert not set(times) & {row.start_ms for row in rejected}
        assert all(row.reason and len(row.raw) < 2_000 for row in rejected)
        for row in rows:
            assert row.start_ms % MINUTE_MS == 0
            assert 0 < row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high < math.inf
            assert 0 <= row.volume < math.inf
            assert row.turnover is None or 0 <= row.turnover < math.inf
    for parse, asked in (
        (parse_funding, ("linear", "BTCUSDT")),
        (parse_instruments, ("linear",)),
        (parse_instruments, ("spot",)),
        (parse_instrument, ("linear", "BTCUSDT")),
        (parse_server_time, ()),
    ):
        with suppress(ExchangeError):
            parse(body, *asked)


@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES)
def test_no_input_gives_anything_but_sound_rows_or_our_own_error(body):
    check_every_parser(body)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES)
def test_no_input_of_very_many_gives_anything_but_sound_rows_or_our_own_error(body):
    check_every_parser(body)


@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(1e-9, 1e12), min_size=4, max_size=4).map(sorted),
            st.floats(0, 1e15),
            st.floats(0, 1e15),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_sound_page_is_read_back_to_the_bit(drawn):
    expected = []
    for i, ((low, a, b, high), volume, turnover, falls) in enumerate(drawn):
        first, last = (b, a) if falls else (a, b)
        expected.append((FIRST_MS + i * MINUTE_MS, first, high, low, last, volume, turnover))
    body = kline_answer(*([str(n) for n in row] for row in reversed(expected)))
    assert parse_klines(body, "linear", "BTCUSDT", M1).rows == expected
