import httpx2
import polars as pl
import pytest

from polyscale.exchange.errors import BadRequestError, WireError
from polyscale.exchange.source import Window, windows_of
from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA, Market
from polyscale.market.errors import ConfigError
from polyscale.market.order_rules import OrderRules
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import (
    BTC,
    FIRST_MS,
    MINUTE_MS,
    FakeBybit,
    answer,
    candle,
    client_of,
    funding_answer,
    instrument,
    kline_answer,
    ok,
)
from tests.leap import run

M1 = Timeframe(1)
LATER_MS = FIRST_MS + 10**9


def fetch(fake, num_bars, market=BTC, timeframe=M1, start_ms=FIRST_MS):
    async def ask():
        async with fake.client() as client:
            return await client.klines(market, timeframe, start_ms, start_ms + num_bars * MINUTE_MS)

    return run(ask())


def opens_of(bars):
    return (bars["close_time"].dt.epoch("ms") - MINUTE_MS).to_list()


def test_window_of_3500_bars_is_paged_without_gap_or_repeat():
    fake = FakeBybit(LATER_MS)
    bars = fetch(fake, 3_500)
    assert bars.schema == BAR_SCHEMA
    assert opens_of(bars) == [FIRST_MS + i * MINUTE_MS for i in range(3_500)]
    assert fake.num_candle_requests == 4
    expected = [float(text) for text in candle(FIRST_MS + 1_234 * MINUTE_MS)[1:]]
    assert list(bars.row(1_234)[1:]) == expected


def test_every_request_asks_for_an_aligned_window_of_at_most_a_page():
    fake = FakeBybit(LATER_MS)
    fetch(fake, 2_500)
    asked = [params for path, params in fake.asked if path.endswith("kline")]
    assert [int(params["limit"]) for params in asked] == [1_000, 1_000, 500]
    assert all(int(params["start"]) % MINUTE_MS == int(params["end"]) % MINUTE_MS == 0 for params in asked)
    assert {(params["category"], params["symbol"], params["interval"]) for params in asked} == {
        ("linear", "BTCUSDT", "1")
    }


@pytest.mark.parametrize("into_bar_ms", [0, 1, 59_999])
def test_bar_that_is_open_by_server_time_is_left_out(into_bar_ms):
    bars = fetch(FakeBybit(FIRST_MS + 10 * MINUTE_MS + into_bar_ms), 3_500)
    assert opens_of(bars) == [FIRST_MS + i * MINUTE_MS for i in range(10)]


def test_span_inside_bars_gives_whole_bars_only():
    bars = fetch(FakeBybit(LATER_MS), 3, start_ms=FIRST_MS + 1)
    assert opens_of(bars) == [FIRST_MS + MINUTE_MS, FIRST_MS + 2 * MINUTE_MS]


def test_empty_page_and_missing_bar_stay_gaps():
    missing = [FIRST_MS + i * MINUTE_MS for i in (0, *range(1_000, 2_000))]
    bars = fetch(FakeBybit(LATER_MS, missing=missing), 3_000)
    assert opens_of(bars) == [FIRST_MS + i * MINUTE_MS for i in (*range(1, 1_000), *range(2_000, 3_000))]


@pytest.mark.parametrize("num_bars", [0, 5])
def test_nothing_to_give_is_an_empty_frame_of_the_contract(num_bars):
    bars = fetch(FakeBybit(FIRST_MS), num_bars)
    assert bars.is_empty()
    assert bars.schema == BAR_SCHEMA


@pytest.mark.parametrize("at_ms", [FIRST_MS - MINUTE_MS, FIRST_MS + 5 * MINUTE_MS])
def test_row_outside_the_window_is_refused(at_ms):
    fake = FakeBybit(LATER_MS, faults=[ok(kline_answer(candle(FIRST_MS), candle(at_ms)))])
    with pytest.raises(WireError, match="every start must lie in the window"):
        fetch(fake, 5)


@pytest.mark.parametrize("wrong", [{"symbol": "ETHUSDT"}, {"category": "spot"}])
def test_answer_for_another_market_is_refused_and_not_asked_again(wrong):
    fake = FakeBybit(LATER_MS, faults=[ok(kline_answer(candle(FIRST_MS), **wrong))])
    with pytest.raises(WireError, match=r"the answer's (symbol|category) must be"):
        fetch(fake, 1)
    assert fake.num_candle_requests == 1


def test_row_that_breaks_a_rule_is_asked_for_again_and_then_rejected_alone():
    bad = [*candle(FIRST_MS + MINUTE_MS)[:2], "0.5", *candle(FIRST_MS)[3:]]
    page = ok(kline_answer(candle(FIRST_MS), bad))

    async def ask(faults):
        async with FakeBybit(LATER_MS, faults=faults).client() as client:
            return [page async for page in client.pages(BTC, M1, [Window(FIRST_MS, FIRST_MS + MINUTE_MS)])]

    [mended] = run(ask([page]))
    assert (mended.bars.height, mended.rejected) == (2, [])
    [kept] = run(ask([page, page]))
    assert opens_of(kept.bars) == [FIRST_MS]
    assert [row.start_ms for row in kept.rejected] == [FIRST_MS + MINUTE_MS]
    assert "prices must be" in kept.rejected[0].reason


def test_first_day_is_found_by_daily_candles():
    day_ms = 86_400_000
    first_ms = FIRST_MS + 1_500 * day_ms
    asked = []

    def exchange(request):
        params = request.url.params
        asked.append((params["interval"], int(params["limit"])))
        days = range(int(params["start"]), int(params["end"]) + 1, day_ms)
        return ok(kline_answer(*[candle(at) for at in days if at >= first_ms][::-1]))

    async def ask(until_ms):
        async with client_of(exchange) as client:
            return await client.first_day_ms(BTC, FIRST_MS + 1, until_ms)

    assert run(ask(FIRST_MS + 3_000 * day_ms)) == first_ms
    assert asked == [("D", 1_000)] * 2
    assert run(ask(FIRST_MS + 1_500 * day_ms)) is None
    assert run(ask(FIRST_MS + 1_500 * day_ms + 1)) == first_ms


def test_bar_that_had_not_closed_when_the_exchange_answered_is_no_part_of_the_page():
    rows = [candle(FIRST_MS + i * MINUTE_MS) for i in range(3)]
    for into_ms, num_bars in ((2 * MINUTE_MS, 2), (3 * MINUTE_MS - 1, 2), (3 * MINUTE_MS, 3), (0, 0)):
        page = ok(kline_answer(*rows, time_ms=FIRST_MS + into_ms))

        async def ask(page=page):
            async with FakeBybit(LATER_MS, faults=[page]).client() as client:
                window = Window(FIRST_MS, FIRST_MS + 2 * MINUTE_MS)
                return [page async for page in client.pages(BTC, M1, [window])]

        [got] = run(ask())
        assert (got.bars.height, got.window.num_bars(M1)) == (num_bars, num_bars)


def test_forming_row_that_breaks_a_rule_is_no_rejected_bar():
    bad = [*candle(FIRST_MS + MINUTE_MS)[:2], "0.5", *candle(FIRST_MS)[3:]]
    page = ok(kline_answer(candle(FIRST_MS), bad, time_ms=FIRST_MS + 2 * MINUTE_MS - 1))

    async def ask():
        async with FakeBybit(LATER_MS, faults=[page] * 2).client() as client:
            window = Window(FIRST_MS, FIRST_MS + MINUTE_MS)
            return [page async for page in client.pages(BTC, M1, [window])]

    [got] = run(ask())
    assert (got.bars.height, got.rejected) == (1, [])


def test_answer_given_before_its_window_is_a_page_of_nothing():
    page = ok(kline_answer(time_ms=FIRST_MS - 10 * MINUTE_MS))

    async def ask():
        async with FakeBybit(LATER_MS, faults=[page]).client() as client:
            return [page async for page in client.pages(BTC, M1, [Window(FIRST_MS, FIRST_MS)])]

    [got] = run(ask())
    assert (got.bars.height, got.window.num_bars(M1)) == (0, 0)


def test_inverse_frame_has_volume_in_base_coin():
    bars = fetch(FakeBybit(LATER_MS), 1, market=Market("bybit", "inverse", "BTCUSD"))
    assert bars.select("volume", "turnover").row(0) == (325.0, 3.25)


def test_pages_come_oldest_first_and_leaving_early_stops_the_rest():
    fake = FakeBybit(LATER_MS)

    async def ask():
        async with fake.client(concurrency=2) as client:
            windows = windows_of(M1, FIRST_MS, FIRST_MS + 9_000 * MINUTE_MS, 1_000)
            pages = client.pages(BTC, M1, windows)
            first = (await anext(pages)).bars
            await pages.aclose()
            return first

    assert opens_of(run(ask()))[0] == FIRST_MS
    assert fake.num_candle_requests == 2


def test_mark_price_bars_have_no_volume():
    def exchange(request):
        if request.url.path.endswith("/time"):
            return ok(answer({"timeSecond": str(LATER_MS // 1_000), "timeNano": str(LATER_MS * 10**6)}))
        assert request.url.path == "/v5/market/mark-price-kline"
        return ok(kline_answer(candle(FIRST_MS)[:5]))

    async def ask():
        async with client_of(exchange) as client:
            return await client.mark_klines(BTC, M1, FIRST_MS, FIRST_MS + MINUTE_MS)

    assert run(ask()).select("volume", "turnover").row(0) == (0.0, None)


def funding_exchange(times_ms):
    def exchange(request):
        params = request.url.params
        assert "startTime" not in params
        limit, last_ms = int(params["limit"]), int(params["endTime"])
        rows = [(at, "0.0001") for at in sorted(times_ms, reverse=True) if at <= last_ms][:limit]
        return ok(funding_answer(*rows))

    return exchange


def fetch_funding(exchange, start_ms, end_ms):
    async def ask():
        async with client_of(exchange) as client:
            return await client.funding(BTC, start_ms, end_ms)

    return run(ask())


def test_funding_is_paged_back_through_a_change_of_its_interval():
    hours = [*range(0, 4_000, 8), *range(4_000, 5_000, 4)]
    times_ms = [FIRST_MS + hour * 3_600_000 for hour in hours]
    frame = fetch_funding(funding_exchange(times_ms), times_ms[3], times_ms[-1])
    assert frame.schema == FUNDING_SCHEMA
    assert frame["time"].dt.epoch("ms").to_list() == times_ms[3:-1]


def test_funding_goes_on_past_an_answer_that_is_empty_by_a_fault():
    times_ms = [FIRST_MS + hour * 3_600_000 for hour in range(0, 4_000, 8)]
    sound, num_asked = funding_exchange(times_ms), []

    def exchange(request):
        num_asked.append(1)
        return ok(funding_answer()) if len(num_asked) == 2 else sound(request)

    assert fetch_funding(exchange, times_ms[0], times_ms[-1] + 1).height == 500


def test_funding_without_payments_is_empty():
    assert fetch_funding(funding_exchange([]), FIRST_MS, LATER_MS).schema == FUNDING_SCHEMA


def test_funding_after_the_asked_end_is_refused():
    with pytest.raises(WireError, match="every time must be <="):
        fetch_funding(lambda _: ok(funding_answer((LATER_MS, "0.1"))), FIRST_MS, LATER_MS)


def fetch_instruments(exchange):
    async def ask():
        async with client_of(exchange) as client:
            return await client.instruments("linear")

    return run(ask())


def test_instruments_follow_the_cursor():
    def exchange(request):
        page = int(request.url.params.get("cursor", "0").removeprefix("p&="))
        result = {
            "list": [instrument(f"A{page}USDT")],
            "nextPageCursor": f"p&={page + 1}" if page < 3 else "",
        }
        return ok(answer(result))

    found = fetch_instruments(exchange)
    assert [one.symbol for one in found] == ["A0USDT", "A1USDT", "A2USDT", "A3USDT"]


def test_cursor_that_comes_again_ends_in_an_error():
    result = {"list": [instrument("BTCUSDT")], "nextPageCursor": "same"}
    with pytest.raises(WireError, match="a cursor must not come again"):
        fetch_instruments(lambda _: ok(answer(result)))


def fetch_instrument(*symbols):
    """Our client asks for BTCUSDT; the exchange answers with the symbols."""
    asked = []

    def exchange(request):
        asked.append(dict(request.url.params))
        return ok(answer({"category": "linear", "list": [instrument(symbol) for symbol in symbols]}))

    async def ask():
        async with client_of(exchange) as client:
            return await client.instrument(BTC)

    return run(ask()), asked


def test_one_instrument_is_one_request_by_its_symbol():
    found, asked = fetch_instrument("BTCUSDT")
    assert (found.symbol, found.rules) == ("BTCUSDT", OrderRules(0.001, 0.002, 5.0))
    assert asked == [{"category": "linear", "symbol": "BTCUSDT"}]


def test_instrument_that_is_not_listed_is_a_bad_request():
    with pytest.raises(BadRequestError, match=r"bybit/linear/BTCUSDT: the exchange must list it .* delisted"):
        fetch_instrument()


@pytest.mark.parametrize("symbols", [["ETHUSDT"], ["BTCUSDT", "BTCUSDT"]], ids=str)
def test_instruments_that_were_not_asked_for_are_refused(symbols):
    with pytest.raises(WireError, match="must hold BTCUSDT alone"):
        fetch_instrument(*symbols)


def test_server_time_is_asked_of_the_server():
    fake = FakeBybit(FIRST_MS + 123)

    async def ask():
        async with fake.client() as client:
            return await client.server_time_ms()

    assert run(ask()) == FIRST_MS + 123


@pytest.mark.parametrize(
    ("market", "timeframe", "start_ms", "rule"),
    [
        (Market("bybit", "option", "BTC"), M1, FIRST_MS, "category must be one of"),
        (Market("bybit-testnet", "linear", "BTCUSDT"), M1, FIRST_MS, "venue must be the client's own"),
        (Market("bybit", "linear", "btcusdt"), M1, FIRST_MS, "symbol must be one word in upper case"),
        (Market("bybit", "linear", ""), M1, FIRST_MS, "symbol must be one word in upper case"),
        (BTC, Timeframe(7), FIRST_MS, "timeframe must be one that Bybit keeps"),
        (BTC, M1, -(10**13), "must ask for 0 <= start_ms"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_sent(market, timeframe, start_ms, rule):
    fake = FakeBybit(LATER_MS)
    with pytest.raises(ConfigError, match=rule):
        fetch(fake, 5, market=market, timeframe=timeframe, start_ms=start_ms)
    assert fake.asked == []


def test_weekly_windows_begin_on_monday():
    week = Timeframe(10_080)
    [window] = windows_of(week, FIRST_MS - 1, FIRST_MS + 3 * week.ms + 1, 1_000)
    assert window.num_bars(week) == 3
    assert window == (FIRST_MS, FIRST_MS + 2 * week.ms)


def test_no_key_is_sent():
    seen = []

    def exchange(request):
        seen.append(request)
        return httpx2.Response(500)

    with pytest.raises(Exception, match="HTTP 500"):
        fetch_instruments(exchange)
    assert not [name for name in seen[0].headers if "api" in name.lower() or "auth" in name.lower()]


def test_frame_is_sorted_and_unique():
    times = fetch(FakeBybit(LATER_MS), 2_001)["close_time"]
    assert times.is_sorted()
    assert times.n_unique() == 2_001
    assert times.dtype == pl.Datetime("ms", "UTC")
