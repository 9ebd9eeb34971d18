"""What the played exchange costs: a page of 1,000 candles, and a day of pushes of fifty symbols.

The day is 24 h of one-minute candles at a push every 20 s. It is planned and rendered; sockets are not in it.
"""

import json
import time

from polyscale.market.bars import Market
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.replay.conversation import Topic
from polyscale.replay.exchange import ReplayExchange
from polyscale.replay.pushes import Pushes

SYMBOLS, PUSH_EVERY_S, PAGES = 50, 20, 200
M1, DAY_MS = Timeframe(1), 86_400_000


def main() -> None:
    bars = simulate_bars(SimulationSettings(days=2, timeframe=M1))
    start_ms = bars["close_time"].dt.epoch("ms")[0] - M1.ms
    markets = [Market("bybit", "linear", f"COIN{idx}USDT") for idx in range(SYMBOLS)]
    exchange = ReplayExchange({(market, M1): bars for market in markets}, start_ms=start_ms + DAY_MS)
    page_ms = _page_ms(exchange, markets[0].symbol)
    print(f"page of 1,000 candles: {page_ms:.2f} ms")
    num_pushes, day_s = _day(exchange, markets, start_ms)
    print(
        f"a day of {SYMBOLS} symbols: {num_pushes:,} pushes in {day_s:.1f} s, {86_400 / day_s:,.0f} x as fast"
    )
    figures = {"page_ms": round(page_ms, 2), "pushes": num_pushes, "day_seconds": round(day_s, 1)}
    print(json.dumps(figures | {"times_real": round(86_400 / day_s)}))


def _page_ms(exchange, symbol):
    asked = {"symbol": symbol, "interval": "1", "limit": "1000"}
    began = time.perf_counter()
    for _ in range(PAGES):
        exchange.answer("/v5/market/kline", asked, "bench", 0.0)
    return (time.perf_counter() - began) / PAGES * 1_000


def _day(exchange, markets, start_ms):
    pushes = Pushes(exchange.holdings, exchange.faults, PUSH_EVERY_S, start_ms)
    for market in markets:
        pushes.watch(Topic(market.category, f"kline.1.{market.symbol}"))
    num_pushes, began = 0, time.perf_counter()
    for now_ms in range(start_ms, start_ms + DAY_MS + 1, PUSH_EVERY_S * 1_000):
        num_pushes += len(pushes.due(now_ms))
    return num_pushes, time.perf_counter() - began


if __name__ == "__main__":
    main()
