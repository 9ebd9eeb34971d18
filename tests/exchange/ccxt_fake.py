"""An exchange of ccxt, made up: candles of one minute and one day, capped, gappy, with or without a clock."""

import asyncio
import json
from types import SimpleNamespace

from polyscale.exchange import ccxt_exchange
from polyscale.exchange.ccxt_exchange import CcxtSettings
from polyscale.exchange.ccxt_source import CcxtSource
from polyscale.ingest.fetch import fetch_bars
from polyscale.market.bars import Market
from polyscale.market.timeframe import Timeframe

FIRST_MS = 1_735_689_600_000  # 2025-01-01
STEPS_MS = {"1m": 60_000, "1d": 86_400_000}
MARKET = {"id": "btc_usdt", "spot": True, "base": "BTC", "quote": "USDT", "active": True}


def at(minute):
    """When a minute begins."""
    return FIRST_MS + minute * 60_000


class FakeCcxt:
    """What `CcxtExchange` uses of an exchange of ccxt.

    ``cap`` candles come at once, from the end of the answer that it ``keeps``; ``missing`` minutes have none,
    ``extra`` starts come with every answer; the candle of ``now_ms`` is forming, and given all the same.
    """

    parse_json = staticmethod(json.loads)
    precisionMode = 4  # noqa: N815 - ccxt's name; sizes in steps

    def __init__(
        self,
        now_ms=FIRST_MS,
        first_ms=FIRST_MS,
        cap=1_000,
        keeps="oldest",
        missing=(),
        extra=(),
        tells_time=True,
        timeframes=("1s", "1m", "1d", "1M"),
        features=None,
        fails=None,
    ):
        self.now_ms, self.first_ms, self.cap, self.keeps, self.fails = now_ms, first_ms, cap, keeps, fails
        self.missing = {at(minute) for minute in missing}
        self.extra = list(extra)
        self.has = {"fetchOHLCV": True, "fetchTime": tells_time}
        self.timeframes = dict.fromkeys(timeframes, "")
        self.features = features
        self.num_candle_requests = 0

    async def close(self):
        pass

    async def load_markets(self, reload):
        return {"BTC/USDT": MARKET}

    async def fetch_time(self):
        return self.now_ms

    async def fetch_ohlcv(self, symbol, timeframe, since=None, limit=None):
        self.num_candle_requests += 1
        if self.fails:
            raise self.fails
        step_ms = STEPS_MS[timeframe]
        first_ms = -(-self.first_ms // step_ms) * step_ms
        starts = [start for start in range(first_ms, self.now_ms + 1, step_ms) if start not in self.missing]
        if since is None:
            starts = starts[-self.cap :]
        else:
            starts = [start for start in starts if since <= start < since + limit * step_ms]
            starts = starts[: self.cap] if self.keeps == "oldest" else starts[-self.cap :]
        return [self.row(start) for start in [*starts, *self.extra]]

    @staticmethod
    def row(start):
        first = 100.0 + start // 60_000 % 977
        return [start, first, first + 2, first - 1.5, first + 1, 3.25]


class Asking:
    """A source that asks a made-up exchange, each question to its end."""

    market = Market("fake", "spot", "BTC_USDT")

    def __init__(self, source):
        self.source = source

    @property
    def page_bars(self):
        return self.source.page_bars

    def read(self, *windows):
        async def ask():
            return [page async for page in self.source.pages(self.market, Timeframe(1), windows)]

        return asyncio.run(ask())

    def fetch(self, store, start_ms, end_ms):
        return asyncio.run(fetch_bars(self.source, store, self.market, Timeframe(1), start_ms, end_ms))

    def first_day(self, since_ms, until_ms):
        return asyncio.run(self.source.first_day_ms(self.market, since_ms, until_ms))


def source_of(monkeypatch, fake):
    """A source of a made-up exchange, in place of ccxt's."""
    from ccxt import BaseError

    package = SimpleNamespace(
        exchanges=["fake"], fake=lambda config: fake, BaseError=BaseError, __version__="0"
    )
    monkeypatch.setattr(ccxt_exchange, "_package", lambda name: package)
    settings = CcxtSettings(attempts=1, backoff_s=0.01, max_backoff_s=0.01)
    return Asking(CcxtSource("fake", settings))
