"""Bodies of answers in Bybit's v5 format, and an exchange that gives them, all made up."""

import asyncio
import itertools
import json

import httpx2

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_http import BybitSettings
from polyscale.market.bars import Market

FIRST_MS = 1_704_067_200_000  # 2024-01-01, a Monday
MINUTE_MS = 60_000
LATER_MS = FIRST_MS + 10**12  # when answers are given, if nothing is said
BTC = Market("bybit", "linear", "BTCUSDT")
HEADERS = {"X-Bapi-Limit": "600", "X-Bapi-Limit-Status": "599"}


def answer(result, code=0, said="OK", time_ms=FIRST_MS):
    body = {"retCode": code, "retMsg": said, "result": result, "retExtInfo": {}, "time": time_ms}
    return json.dumps(body).encode()


def kline_answer(*rows, category="linear", symbol="BTCUSDT", time_ms=LATER_MS):
    return answer({"category": category, "symbol": symbol, "list": list(rows)}, time_ms=time_ms)


def funding_answer(*rows, category="linear", symbol="BTCUSDT"):
    rates = [
        {"symbol": symbol, "fundingRate": rate, "fundingRateTimestamp": str(time_ms)}
        for time_ms, rate in rows
    ]
    return answer({"category": category, "list": rates})


def instrument(symbol):
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": symbol[:3],
        "quoteCoin": "USDT",
        "launchTime": str(FIRST_MS),
        "deliveryTime": "0",
        "priceFilter": {"tickSize": "0.5"},
        "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.002", "minNotionalValue": "5"},
    }


def candle(start_ms):
    """A sound row whose numbers tell its time."""
    first = 100 + start_ms // MINUTE_MS % 977
    return [str(start_ms), str(first), str(first + 2), str(first - 1.5), str(first + 1), "3.25", "325"]


class FakeBybit:
    """One-minute candles newest first, the forming one included, and faults to order.

    ``faults`` answer the next requests for candles in turn; one that is None lets the request through, an
    exception is raised. ``asked`` holds path and parameters of every request, ``at_s`` the time it came.
    """

    def __init__(self, now_ms, faults=(), missing=()):
        self.now_ms = now_ms
        self.faults = list(faults)
        self.missing = set(missing)
        self.asked = []
        self.at_s = []

    async def answer(self, request):
        path, params = request.url.path, dict(request.url.params)
        self.asked.append((path, params))
        self.at_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)
        if path.endswith("/time"):
            nano = self.now_ms * 10**6
            return ok(answer({"timeSecond": str(nano // 10**9), "timeNano": str(nano)}))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        return fault or self.candles(params)

    def candles(self, params):
        first, last, limit = int(params["start"]), int(params["end"]), int(params["limit"])
        assert 1 <= limit <= 1_000
        starts = [at for at in range(first, last + 1, MINUTE_MS) if at <= self.now_ms]
        rows = [candle(at) for at in starts if at not in self.missing][::-1][:limit]
        return ok(
            kline_answer(*rows, category=params["category"], symbol=params["symbol"], time_ms=self.now_ms)
        )

    @property
    def waited_s(self):
        """Time between each request for candles and the next."""
        at_s = [at for (path, _), at in zip(self.asked, self.at_s, strict=True) if path.endswith("kline")]
        return [later - earlier for earlier, later in itertools.pairwise(at_s)]

    @property
    def num_candle_requests(self):
        return sum(path.endswith("kline") for path, _ in self.asked)

    def client(self, **settings):
        """A client of this exchange."""
        return client_of(self.answer, **settings)


def client_of(handler, **settings):
    return BybitClient(settings=BybitSettings(**settings), transport=httpx2.MockTransport(handler))


def ok(body):
    return httpx2.Response(200, content=body, headers=HEADERS)
