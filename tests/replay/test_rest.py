"""The truths of the REST endpoints, asked of the core without a socket."""

import json

import polars as pl
import pytest

from polyscale.market.bars import Market
from polyscale.market.timeframe import Timeframe
from tests.replay.market import (
    BTC,
    DAY_MS,
    FIRST_MS,
    H1,
    HOUR_MS,
    INVERSE,
    M1,
    MINUTE_MS,
    SPOT,
    ask,
    bars_of,
    exchange_of,
    rates_of,
    rows,
    starts,
    wire_row,
)

NOON_MS = FIRST_MS + 12 * HOUR_MS
HALF_MS = NOON_MS + 30_000  # half of a minute


def test_a_page_is_newest_first_in_strings_with_the_forming_candle_on_top():
    page = rows(exchange_of(HALF_MS), limit=3)
    assert starts(page) == [NOON_MS, NOON_MS - MINUTE_MS, NOON_MS - 2 * MINUTE_MS]
    assert all(isinstance(text, str) for row in page for text in row)
    bar = wire_row(bars_of().row(719, named=True))
    assert [float(text) for text in page[1]] == bar
    forming, true = page[0], wire_row(bars_of().row(720, named=True))
    assert float(forming[1]) == true[1]
    assert 0 < float(forming[5]) < true[5]


def test_numbers_come_back_bit_for_bit():
    page = rows(exchange_of(FIRST_MS + DAY_MS), start=FIRST_MS, end=FIRST_MS + 999 * MINUTE_MS, limit=1_000)
    assert len(page) == 1_000
    assert "e" not in json.dumps(page)
    wanted = [wire_row(bar) for bar in bars_of()[:1_000].iter_rows(named=True)]
    assert [[float(text) for text in row] for row in page[::-1]] == wanted


def test_the_forming_candle_is_there_from_its_first_instant_on():
    assert starts(rows(exchange_of(NOON_MS), limit=1)) == [NOON_MS]
    assert starts(rows(exchange_of(NOON_MS - 1), limit=1)) == [NOON_MS - MINUTE_MS]


def test_start_and_end_are_included_and_compared_with_a_candles_start():
    page = rows(exchange_of(NOON_MS), start=FIRST_MS, end=FIRST_MS + 2 * MINUTE_MS)
    assert starts(page) == [FIRST_MS + 2 * MINUTE_MS, FIRST_MS + MINUTE_MS, FIRST_MS]
    page = rows(exchange_of(NOON_MS), start=FIRST_MS + 1, end=FIRST_MS + 2 * MINUTE_MS - 1)
    assert starts(page) == [FIRST_MS + MINUTE_MS, FIRST_MS]


@pytest.mark.parametrize(("keeps", "first"), [("newest", 7), ("oldest", 0)])
def test_which_end_of_a_wide_window_is_kept_is_a_setting(keeps, first):
    window = {"start": FIRST_MS, "end": FIRST_MS + 9 * MINUTE_MS, "limit": 3}
    page = rows(exchange_of(NOON_MS, keeps=keeps), **window)
    assert starts(page)[::-1] == [FIRST_MS + (first + idx) * MINUTE_MS for idx in range(3)]


def test_the_forming_candle_counts_within_the_limit():
    wide = {"start": NOON_MS - 9 * MINUTE_MS, "end": NOON_MS + HOUR_MS, "limit": 4}
    assert starts(rows(exchange_of(HALF_MS), **wide))[0] == NOON_MS
    assert len(rows(exchange_of(HALF_MS), **wide)) == 4
    oldest = rows(exchange_of(HALF_MS, keeps="oldest"), **wide)
    assert starts(oldest)[-1] == NOON_MS - 9 * MINUTE_MS
    assert len(rows(exchange_of(HALF_MS), limit=1)) == 1


def test_a_start_alone_is_answered_upward_and_an_end_alone_downward():
    exchange = exchange_of(NOON_MS)
    assert starts(rows(exchange, start=FIRST_MS, limit=2)) == [FIRST_MS + MINUTE_MS, FIRST_MS]
    assert starts(rows(exchange, end=FIRST_MS + 9 * MINUTE_MS, limit=1)) == [FIRST_MS + 9 * MINUTE_MS]
    assert len(rows(exchange)) == 200


@pytest.mark.parametrize("timeframe", ["5", "60", "D", "W"])
def test_a_coarser_interval_holds_the_forming_candle_too(timeframe):
    page = rows(exchange_of(HALF_MS), interval=timeframe, limit=1)
    assert starts(page)[0] <= HALF_MS
    assert float(page[0][5]) > 0


def test_absent_category_means_linear():
    code, result = ask(exchange_of(NOON_MS), "kline", symbol="BTCUSDT", interval=1, limit=1)
    assert (code, result["category"], result["symbol"]) == (0, "linear", "BTCUSDT")


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbol": "btcusdt"},
        {"symbol": "NOPE"},
        {"symbol": ""},
        {"interval": "2"},
        {"interval": "M"},
        {"interval": ""},
        {"category": "option"},
        {"category": "spot"},
        {"limit": 0},
        {"limit": 1_001},
        {"limit": "many"},
        {"start": -1},
        {"start": "1_000"},
        {"start": FIRST_MS, "end": FIRST_MS - 1},
    ],
    ids=str,
)
def test_a_wrong_parameter_is_code_10001(wrong):
    usual = {"category": "linear", "symbol": "BTCUSDT", "interval": "1"}
    assert ask(exchange_of(NOON_MS), "kline", **usual | wrong) == (10001, {})


def test_an_interval_finer_than_what_is_held_is_code_10001():
    exchange = exchange_of(NOON_MS, {(BTC, H1): bars_of(timeframe=H1)})
    assert ask(exchange, "kline", symbol="BTCUSDT", interval="5")[0] == 10001


def test_volume_and_turnover_are_swapped_in_inverse_markets():
    exchange = exchange_of(NOON_MS, {(INVERSE, M1): bars_of()})
    page = rows(exchange, category="inverse", symbol="BTCUSD", end=FIRST_MS, limit=1)
    bar = wire_row(bars_of().row(0, named=True))
    assert [float(text) for text in page[0]] == [*bar[:5], bar[6], bar[5]]


def test_mark_and_index_prices_have_five_fields():
    for path in ("mark-price-kline", "index-price-kline"):
        page = rows(exchange_of(HALF_MS), path, end=FIRST_MS, limit=1)
        assert [float(text) for text in page[0]] == wire_row(bars_of().row(0, named=True))[:5]
    assert ask(exchange_of(HALF_MS), "mark-price-kline", category="spot", symbol="BTCUSDT")[0] == 10001


def test_nothing_after_the_last_bar():
    exchange = exchange_of(FIRST_MS + 5 * DAY_MS)
    assert starts(rows(exchange, limit=1)) == [FIRST_MS + 2 * DAY_MS - MINUTE_MS]
    assert rows(exchange, start=FIRST_MS + 3 * DAY_MS) == []
    assert rows(exchange_of(FIRST_MS - DAY_MS)) == []


def test_nothing_of_the_future_is_in_any_answer():
    """Wreck every bar that begins later, or leave it out: no answer changes. Ticks stay as they are."""
    begun = pl.col("close_time").dt.epoch("ms") - MINUTE_MS <= HALF_MS
    numbers = [pl.col(name) for name in bars_of().columns[1:]]
    wrecked = bars_of().with_columns(
        pl.when(begun).then(number).otherwise((number * 7).round(2)) for number in numbers
    )
    for bars in (wrecked, bars_of().filter(begun)):
        for interval in ("1", "3", "5", "15", "60", "240", "D", "W"):
            asked = {"interval": interval, "limit": 1_000}
            got = rows(exchange_of(HALF_MS, {(BTC, M1): bars}), **asked)
            assert got == rows(exchange_of(HALF_MS), **asked)


def test_server_time_is_told_in_seconds_nanoseconds_and_milliseconds():
    code, result = ask(exchange_of(FIRST_MS + 1_234), "time")
    assert code == 0
    assert result == {"timeSecond": str(FIRST_MS // 1_000 + 1), "timeNano": f"{FIRST_MS + 1_234}000000"}


def test_funding_comes_newest_first_and_only_what_has_been_paid():
    exchange = exchange_of(NOON_MS, funding={BTC: rates_of()})
    code, result = ask(exchange, "funding/history", category="linear", symbol="BTCUSDT")
    assert code == 0
    assert [row["fundingRateTimestamp"] for row in result["list"]] == [
        str(FIRST_MS + 8 * HOUR_MS),
        str(FIRST_MS),
    ]
    assert result["list"][0] == {
        "symbol": "BTCUSDT",
        "fundingRate": "0.00001",
        "fundingRateTimestamp": str(FIRST_MS + 8 * HOUR_MS),
    }


@pytest.mark.parametrize(
    "wrong",
    [{"startTime": FIRST_MS}, {"limit": 201}, {"category": "spot"}, {"category": ""}, {"symbol": "NOPE"}],
    ids=str,
)
def test_wrong_questions_for_funding_are_code_10001(wrong):
    exchange = exchange_of(NOON_MS, funding={BTC: rates_of()})
    asked = {"category": "linear", "symbol": "BTCUSDT"} | wrong
    assert ask(exchange, "funding/history", **asked)[0] == 10001


def test_funding_keeps_the_newest_of_a_window():
    exchange = exchange_of(FIRST_MS + 2 * DAY_MS, funding={BTC: rates_of()})
    asked = {"category": "linear", "symbol": "BTCUSDT", "startTime": FIRST_MS, "limit": 2}
    _, result = ask(exchange, "funding/history", endTime=FIRST_MS + 24 * HOUR_MS, **asked)
    times = [int(row["fundingRateTimestamp"]) for row in result["list"]]
    assert times == [FIRST_MS + 24 * HOUR_MS, FIRST_MS + 16 * HOUR_MS]


def test_instruments_come_in_pages_by_a_cursor():
    markets = [Market("bybit", "linear", f"{coin}USDT") for coin in "ABCDE"]
    exchange = exchange_of(NOON_MS, {(market, H1): bars_of(timeframe=H1) for market in markets})
    seen, cursor = [], ""
    for _ in range(3):
        _, result = ask(exchange, "instruments-info", category="linear", limit=2, cursor=cursor)
        seen += [row["symbol"] for row in result["list"]]
        cursor = result["nextPageCursor"]
    assert seen == [market.symbol for market in markets]
    assert cursor == ""


def test_an_instrument_tells_its_coins_tick_launch_and_funding_interval():
    exchange = exchange_of(NOON_MS, funding={BTC: rates_of(hours=4)})
    _, result = ask(exchange, "instruments-info", category="linear", symbol="BTCUSDT", status="Trading")
    (row,) = result["list"]
    assert (row["baseCoin"], row["quoteCoin"], row["settleCoin"]) == ("BTC", "USDT", "USDT")
    assert row["priceFilter"]["tickSize"] == "0.01"
    assert row["lotSizeFilter"]["qtyStep"] == "0.001"
    assert (row["launchTime"], row["fundingInterval"]) == (str(FIRST_MS), 240)


@pytest.mark.parametrize(
    ("asked", "num"),
    [
        ({"category": "linear"}, 1),
        ({"category": "linear", "status": "PreLaunch"}, 0),
        ({"category": "spot"}, 1),
        ({"category": "inverse"}, 0),
        ({"category": "option", "baseCoin": "BTC"}, 0),
        ({"category": "linear", "baseCoin": "ETH"}, 0),
    ],
    ids=str,
)
def test_instruments_are_listed_by_category_status_and_coin(asked, num):
    exchange = exchange_of(NOON_MS, {(BTC, M1): bars_of(), (SPOT, M1): bars_of()})
    code, result = ask(exchange, "instruments-info", **asked)
    assert (code, len(result["list"])) == (0, num)


def test_an_instrument_is_not_listed_before_its_launch():
    _, result = ask(exchange_of(FIRST_MS - 1), "instruments-info", category="linear")
    assert result["list"] == []


@pytest.mark.parametrize("asked", [{}, {"category": "linear", "symbol": "NOPE"}], ids=str)
def test_wrong_questions_for_instruments_are_code_10001(asked):
    assert ask(exchange_of(NOON_MS), "instruments-info", **asked)[0] == 10001


def test_an_unknown_path_is_status_404():
    answer = exchange_of(NOON_MS).answer("/v5/market/nothing", {}, "somewhere", 0.0)
    assert answer.status == 404


def test_days_of_minutes_are_put_together_once():
    exchange = exchange_of(FIRST_MS + 2 * DAY_MS)
    shelf = exchange.holdings.shelf("linear", "BTCUSDT")
    rows(exchange, interval="D")
    kept = shelf.closed(Timeframe(1_440), exchange.now_ms)
    assert kept.close.base is shelf.closed(Timeframe(1_440), exchange.now_ms).close.base
