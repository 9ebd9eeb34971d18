import json
from itertools import pairwise
from pathlib import Path

import pytest

from polyscale.exchange.bybit_candle import Kline, interval_of
from polyscale.exchange.bybit_wire import (
    FundingRate,
    parse_funding,
    parse_instruments,
    parse_klines,
    parse_mark_klines,
    parse_server_time,
)
from polyscale.exchange.errors import (
    BadRequestError,
    BusyError,
    ExchangeError,
    GarbledError,
    RegionError,
    WireError,
)
from polyscale.market.errors import ConfigError
from polyscale.market.order_rules import OrderRules
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import FIRST_MS, answer, funding_answer, instrument, kline_answer

WIRE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bybit_wire"
M1, H1 = Timeframe(1), Timeframe(60)
ROW = (str(FIRST_MS), "10", "12.5", "9", "11", "3", "33")
real_data = pytest.mark.skipif(not WIRE.is_dir(), reason="the folder of real messages is absent")


def parse(*rows, symbol="BTCUSDT", category="linear"):
    return parse_klines(kline_answer(*rows, symbol=symbol, category=category), "linear", "BTCUSDT", M1)


def read(*rows, **asked):
    """The rows of a page in which none is rejected."""
    candles = parse(*rows, **asked)
    assert candles.rejected == []
    return candles.rows


def reason(*rows):
    """Why the one rejected row of a page is; the sound ones are there all the same."""
    sound = changed(0, str(FIRST_MS + 60_000))
    candles = parse(*rows, sound)
    assert [row.start_ms for row in candles.rows] == [FIRST_MS + 60_000]
    [rejected] = candles.rejected
    assert rejected.start_ms == int(rows[0][0])
    return rejected.reason


def changed(field, value):
    return [value if i == field else text for i, text in enumerate(ROW)]


def test_candle_of_a_linear_market_is_read():
    assert read(ROW) == [Kline(FIRST_MS, 10.0, 12.5, 9.0, 11.0, 3.0, 33.0)]


def test_inverse_volume_is_in_base_coin_and_turnover_in_quote():
    body = kline_answer((*ROW[:5], "268611", "15.75"), category="inverse", symbol="BTCUSD")
    [row] = parse_klines(body, "inverse", "BTCUSD", M1).rows
    assert (row.volume, row.turnover) == (15.75, 268_611.0)


def test_candles_come_out_ascending_whatever_their_order():
    rows = [changed(0, str(FIRST_MS + 60_000 * i)) for i in (2, 0, 1)]
    assert [row.start_ms for row in read(*rows)] == [FIRST_MS + 60_000 * i for i in range(3)]


def test_equal_repeats_are_dropped():
    assert len(read(ROW, changed(1, "10.0"), ROW)) == 1


def test_conflicting_repeats_are_rejected_both():
    assert "two rows of one time must be equal" in reason(ROW, changed(4, "11.5"))


def test_empty_list_is_no_candle():
    assert read() == []


def test_mark_price_has_five_fields_no_volume_and_no_turnover():
    [row] = parse_mark_klines(kline_answer(ROW[:5]), "linear", "BTCUSDT", M1).rows
    assert row == Kline(FIRST_MS, 10.0, 12.5, 9.0, 11.0, 0.0, None)


@pytest.mark.parametrize("field", range(1, 7))
@pytest.mark.parametrize(
    "text",
    ["1_000", "nan", "Infinity", "-inf", "", " 10", "10 ", "1,5", "0x10", "1e999", "+10", ".5", "٣", "10\n"],
)
def test_row_with_a_text_that_is_no_finite_decimal_is_rejected(field, text):
    assert "number must" in reason(changed(field, text))


@pytest.mark.parametrize("value", [10, 10.0, None, True, [], {}])
def test_row_with_a_number_that_is_no_string_is_rejected(value):
    assert "a number must be a decimal string" in reason(changed(1, value))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (str(FIRST_MS // 1000), "a time must be in ms"),
        (str(FIRST_MS * 1000), "a time must be in ms"),
        (f"-{FIRST_MS}", "a time must be a string of digits"),
        (FIRST_MS, "a time must be a string of digits"),
    ],
)
def test_page_with_a_row_without_a_time_is_refused(text, rule):
    with pytest.raises(WireError, match=rule):
        parse(changed(0, text), changed(0, str(FIRST_MS + 60_000)))


@pytest.mark.parametrize(
    ("field", "text", "rule"),
    [
        (0, str(FIRST_MS + 1), "a start must lie on the grid of 1m"),
        (1, "12.6", "prices must be"),
        (2, "10.9", "prices must be"),
        (3, "10.1", "prices must be"),
        (3, "0", "prices must be"),
        (3, "-9", "prices must be"),
        (4, "8.9", "prices must be"),
        (5, "-1", "volume and turnover must be >= 0"),
        (6, "-1", "volume and turnover must be >= 0"),
    ],
)
def test_unsound_row_is_rejected(field, text, rule):
    assert rule in reason(changed(field, text))


@pytest.mark.parametrize("row", [ROW[:6], (*ROW, "1"), ROW[:1]])
def test_row_of_another_length_is_rejected(row):
    assert "a row must be a list of 7 strings" in reason(row)


@pytest.mark.parametrize("row", ["row", None, {"0": "1"}, [], 7])
def test_page_with_something_else_than_rows_is_refused(row):
    with pytest.raises(WireError, match="a time must be a string of digits"):
        parse(row)


def test_another_symbol_or_category_is_refused():
    with pytest.raises(WireError, match="symbol must be 'BTCUSDT', got 'ETHUSDT'"):
        parse(ROW, symbol="ETHUSDT")
    with pytest.raises(WireError, match="category must be 'linear', got 'spot'"):
        parse(ROW, category="spot")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Service Unavailable</body></html>",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"{}",
        b'{"retCode": 0, "retMsg": "OK"}',
        answer({}),
        answer(None),
        answer([]),
        answer({"category": "linear", "symbol": "BTCUSDT"}),
        answer({"category": "linear", "symbol": "BTCUSDT", "list": {}}),
        answer({}, code="0"),
        answer({}, code=False),
        b"[" * 100_000,
        b'{"retCode": ' + b"9" * 10_000 + b"}",
        '{"retCode": 0, "retMsg": "OK", "result": {"category": "\ud800"}}',
    ],
)
def test_answer_of_another_shape_is_refused(body):
    with pytest.raises(WireError):
        parse_klines(body, "linear", "BTCUSDT", M1)


def test_deep_nesting_inside_a_row_is_shown_shortened():
    assert len(reason(changed(1, json.loads("[" * 500 + "]" * 500)))) < 500


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b'{"retCode": 0, "retMsg": "O'])
def test_answer_that_broke_on_its_way_is_garbled(body):
    with pytest.raises(GarbledError):
        parse_klines(body, "linear", "BTCUSDT", M1)


def test_web_page_instead_of_an_answer_is_final():
    with pytest.raises(WireError, match="got a web page") as caught:
        parse_klines(b"<html><body>Service Unavailable</body></html>", "linear", "BTCUSDT", M1)
    assert type(caught.value) is WireError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (10000, BusyError),
        (10006, BusyError),
        (10016, BusyError),
        (10009, RegionError),
        (10024, RegionError),
        (10001, BadRequestError),
        (10002, ExchangeError),
    ],
)
def test_every_code_has_its_type_and_names_the_symbol(code, kind):
    with pytest.raises(ExchangeError, match=f"BTCUSDT.*retCode {code} 'said so'") as caught:
        parse_klines(answer({}, code=code, said="said so"), "linear", "BTCUSDT", M1)
    assert type(caught.value) is kind


def test_funding_is_ascending_and_keeps_its_sign():
    body = funding_answer((FIRST_MS + 1, "-0.00012"), (FIRST_MS, "0.0001"), (FIRST_MS, "0.0001"))
    assert parse_funding(body, "linear", "BTCUSDT") == [
        FundingRate(FIRST_MS, 0.0001),
        FundingRate(FIRST_MS + 1, -0.00012),
    ]


def test_funding_row_of_another_symbol_is_refused():
    with pytest.raises(WireError, match="symbol must be 'ETHUSDT', got 'BTCUSDT'"):
        parse_funding(funding_answer((FIRST_MS, "0.0001")), "linear", "ETHUSDT")


def test_conflicting_funding_is_refused():
    with pytest.raises(WireError, match="two rows of one time"):
        parse_funding(funding_answer((FIRST_MS, "0.0001"), (FIRST_MS, "0.0002")), "linear", "BTCUSDT")


@pytest.mark.parametrize(("cursor", "read_as"), [(None, ""), ("", ""), ("first%3D1", "first%3D1")])
def test_instruments_page_tells_its_cursor(cursor, read_as):
    page = parse_instruments(answer({"list": [instrument("BTCUSDT")], "nextPageCursor": cursor}), "linear")
    assert page.cursor == read_as
    [found] = page.instruments
    assert (found.symbol, found.status, found.tick_size) == ("BTCUSDT", "Trading", 0.5)
    assert (found.launch_ms, found.delivery_ms) == (FIRST_MS, None)


@pytest.mark.parametrize(
    "row",
    [None, {}, {**instrument("A"), "symbol": ""}, {**instrument("A"), "priceFilter": {"tickSize": "0"}}],
)
def test_unsound_instrument_is_refused(row):
    with pytest.raises(WireError):
        parse_instruments(answer({"list": [row]}), "linear")


SPOT_SIZES = {"basePrecision": "0.000001", "minOrderQty": "0.00005", "minOrderAmt": "5"}


@pytest.mark.parametrize(
    ("category", "sizes", "rules"),
    [
        ("linear", instrument("BTCUSDT")["lotSizeFilter"], OrderRules(0.001, 0.002, 5.0)),
        ("linear", {"qtyStep": "1", "minOrderQty": "10"}, OrderRules(1.0, 10.0)),
        ("linear", {"qtyStep": "1", "minOrderQty": "10", "minNotionalValue": ""}, OrderRules(1.0, 10.0)),
        ("spot", SPOT_SIZES, OrderRules(1e-6, 5e-5, 5.0)),
        ("spot", {"basePrecision": "0.01", "minOrderAmt": "1"}, OrderRules(0.01, 0.0, 1.0)),
        ("inverse", {"qtyStep": "1", "minOrderQty": "1"}, None),
    ],
    ids=str,
)
def test_instrument_tells_in_which_steps_and_from_which_size_on_it_is_traded(category, sizes, rules):
    row = {**instrument("BTCUSDT"), "lotSizeFilter": sizes}
    [found] = parse_instruments(answer({"list": [row]}), category).instruments
    assert found.rules == rules


@pytest.mark.parametrize(
    ("sizes", "rule"),
    [
        (None, "must be an object that holds 'qtyStep'"),
        ({"minOrderQty": "1"}, "must be an object that holds 'qtyStep'"),
        ({"qtyStep": "0", "minOrderQty": "1"}, "qtyStep of BTCUSDT must be > 0"),
        ({"qtyStep": 1, "minOrderQty": "1"}, "a number must be a decimal string"),
        ({"qtyStep": "1", "minOrderQty": "nan"}, "a number must be a decimal string"),
        ({"qtyStep": "1", "minOrderQty": "-1"}, "minOrderQty and minNotionalValue of BTCUSDT must be >= 0"),
    ],
    ids=str,
)
def test_unsound_sizes_of_orders_are_refused(sizes, rule):
    row = {**instrument("BTCUSDT"), "lotSizeFilter": sizes}
    with pytest.raises(WireError, match=rule):
        parse_instruments(answer({"list": [row]}), "linear")


def test_instruments_of_another_category_are_refused():
    with pytest.raises(WireError, match="category must be 'spot', got 'linear'"):
        parse_instruments(answer({"category": "linear", "list": []}), "spot")


def test_server_time_is_whole_milliseconds():
    body = answer({"timeSecond": "1688639403", "timeNano": "1688639403423213947"})
    assert parse_server_time(body) == 1_688_639_403_423


def test_server_time_must_agree_with_itself():
    with pytest.raises(WireError, match="timeNano must lie in timeSecond"):
        parse_server_time(answer({"timeSecond": "1688639404", "timeNano": "1688639403423213947"}))


def test_every_published_interval_has_its_timeframe():
    texts = ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w"]
    words = [interval_of(Timeframe.parse(text)) for text in texts]
    assert words == ["1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W"]
    with pytest.raises(ConfigError, match="timeframe must be one that Bybit keeps"):
        interval_of(Timeframe(7))


def test_weeks_begin_on_monday():
    monday_ms = 1_704_067_200_000
    body = kline_answer((str(monday_ms), *ROW[1:]))
    assert parse_klines(body, "linear", "BTCUSDT", Timeframe(10_080)).rows[0].start_ms == monday_ms
    tuesday = kline_answer((str(monday_ms + 86_400_000), *ROW[1:]))
    [rejected] = parse_klines(tuesday, "linear", "BTCUSDT", Timeframe(10_080)).rejected
    assert "grid of 1w" in rejected.reason


@pytest.mark.real_data
@real_data
def test_documented_answers_are_read():
    inverse = (WIRE / "documentation_examples" / "market__kline_example0.json").read_bytes()
    rows = parse_klines(inverse, "inverse", "BTCUSD", H1).rows
    assert len(rows) == 3
    assert (rows[-1].volume, rows[-1].turnover) == (15.74462667, 268_611.0)
    mark = (WIRE / "documentation_examples" / "market__mark-kline_example0.json").read_bytes()
    assert parse_mark_klines(mark, "linear", "BTCUSDT", H1).rows[0].close == 17_131.64
    funding = (WIRE / "adapter_fixtures" / "http_get_funding_history.json").read_bytes()
    assert [rate.rate for rate in parse_funding(funding, "linear", "BTCUSDT")] == [0.00015, 0.0001]


@pytest.mark.real_data
@real_data
@pytest.mark.parametrize("category", ["linear", "inverse", "spot"])
def test_recorded_instruments_are_read(category):
    paths = sorted((WIRE / "adapter_fixtures").glob(f"http_get_instruments_{category}*.json"))
    assert all(parse_instruments(path.read_bytes(), category).instruments for path in paths)


@pytest.mark.real_data
@real_data
def test_real_bars_are_read_and_an_invented_one_off_the_grid_is_rejected():
    body = (WIRE / "rebuilt_from_real_bars" / "rest_kline_linear_ADAUSDT_1_200.json").read_bytes()
    rows = parse_klines(body, "linear", "ADAUSDT", M1).rows
    assert len(rows) == 200
    assert {after.start_ms - row.start_ms for row, after in pairwise(rows)} == {60_000}
    invented = (WIRE / "adapter_fixtures" / "http_get_klines_linear.json").read_bytes()
    candles = parse_klines(invented, "linear", "BTCUSDT", M1)
    assert candles.rows == []
    assert "grid of 1m" in candles.rejected[0].reason
