"""The public REST endpoints: a path and its parameters -> a reply. Pure: what is held and the time go in.

Only what the exchange is known to answer: an unknown path gives no reply, a wrong parameter
``retCode`` 10001.
Mark and index prices are played from the last price, the only one that bars hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, Literal

from polyscale.exchange.bybit_candle import CATEGORIES, timeframe_of
from polyscale.market.timeframe import Timeframe
from polyscale.replay.candles import start_of
from polyscale.replay.decimals import decimal_text
from polyscale.replay.holdings import FUNDED, Holdings
from polyscale.replay.reply import BadParameterError, Reply, candle_rows

Params = Mapping[str, str]
Keeps = Literal["newest", "oldest"]
_BAD_PARAMETER: Final = 10001
_MAX_CANDLES, _USUAL_CANDLES = 1_000, 200
_MAX_RATES: Final = 200
_MAX_INSTRUMENTS, _USUAL_INSTRUMENTS = 1_000, 500
_END_MS: Final = 4_102_444_800_000  # 2100-01-01


def answer_rest(holdings: Holdings, path: str, params: Params, now_ms: int, keeps: Keeps) -> Reply | None:
    """Answer a request as of ``now_ms``; none for a path that the exchange does not have.

    Parameters
    ----------
    keeps
        Which end of a window with more than ``limit`` candles is answered.
    """
    answer = _PATHS.get(path)
    if answer is None:
        return None
    try:
        return answer(holdings, params, now_ms, keeps)
    except BadParameterError as refused:
        return Reply(_BAD_PARAMETER, str(refused))


def _time(holdings: Holdings, params: Params, now_ms: int, keeps: Keeps) -> Reply:
    return Reply(fields={"timeSecond": str(now_ms // 1_000), "timeNano": str(now_ms * 1_000_000)})


def _kline(holdings: Holdings, params: Params, now_ms: int, keeps: Keeps) -> Reply:
    return _candles(holdings, params, now_ms, keeps, CATEGORIES, priced_only=False)


def _priced_kline(holdings: Holdings, params: Params, now_ms: int, keeps: Keeps) -> Reply:
    """Mark or index prices: five fields, from the last price."""
    return _candles(holdings, params, now_ms, keeps, FUNDED, priced_only=True)


def _candles(
    holdings: Holdings,
    params: Params,
    now_ms: int,
    keeps: Keeps,
    categories: tuple[str, ...],
    *,
    priced_only: bool,
) -> Reply:
    category = _category(params, categories, usual="linear")
    symbol = params.get("symbol", "")
    shelf = holdings.shelf(category, symbol)
    if shelf is None:
        raise BadParameterError("Not supported symbols")
    timeframe = timeframe_of(params.get("interval", ""))
    if timeframe is None or not shelf.holds(timeframe):
        raise BadParameterError("Invalid period!")
    limit = _whole(params, "limit", _USUAL_CANDLES, 1, _MAX_CANDLES)
    first_ms, last_ms = _window(params, timeframe, limit)
    closed = shelf.closed(timeframe, now_ms)
    forming = shelf.forming(timeframe, now_ms)
    if forming is not None and not first_ms <= forming.start_ms <= last_ms:
        forming = None
    first, stop = closed.num_until(first_ms - 1), closed.num_until(last_ms)
    if stop - first + (forming is not None) > limit:
        if keeps == "newest":
            first = stop - limit + (forming is not None)
        else:
            stop, forming = first + limit, None
    rows = candle_rows(
        closed.between(first, stop), forming, swapped=category == "inverse", priced_only=priced_only
    )
    return Reply(fields={"category": category, "symbol": symbol}, rows=rows)


def _window(params: Params, timeframe: Timeframe, limit: int) -> tuple[int, int]:
    """First and last start that may be answered; a start alone is answered upward from there."""
    start = _whole(params, "start", 0, 0, _END_MS)
    first_ms = start_of(start, timeframe)
    usual_end = first_ms + (limit - 1) * timeframe.ms if params.get("start") else _END_MS
    last_ms = _whole(params, "end", usual_end, 0, _END_MS)
    if start > last_ms:
        raise BadParameterError("The start time cannot be later than the end time")
    return first_ms, last_ms


def _funding(holdings: Holdings, params: Params, now_ms: int, keeps: Keeps) -> Reply:
    category = _category(params, FUNDED)
    symbol = params.get("symbol", "")
    if holdings.shelf(category, symbol) is None:
        raise BadParameterError("params error: symbol invalid")
    if params.get("startTime") and not params.get("endTime"):
        raise BadParameterError("params error: startTime without endTime")
    first_ms = _whole(params, "startTime", 0, 0, _END_MS)
    last_ms = _whole(params, "endTime", _END_MS, 0, _END_MS)
    limit = _whole(params, "limit", _MAX_RATES, 1, _MAX_RATES)
    times, rates = holdings.rates(category, symbol, now_ms)
    stop = int(times.searchsorted(last_ms, side="right"))
    first = max(int(times.searchsorted(first_ms)), stop - limit)
    rows = [
        f'{{"symbol":"{symbol}","fundingRate":"{decimal_text(rate)}","fundingRateTimestamp":"{time_ms}"}}'
        for time_ms, rate in zip(times[first:stop].tolist(), rates[first:stop].tolist(), strict=True)
    ]
    return Reply(fields={"category": category}, rows=rows[::-1])


def _instruments(holdings: Holdings, params: Params, now_ms: int, keeps: Keeps) -> Reply:
    """Instruments by symbol; the cursor is where the next page begins. Spot comes whole: it has no pages."""
    category = _category(params, (*CATEGORIES, "option"))
    symbol = params.get("symbol")
    if symbol and holdings.shelf(category, symbol) is None:
        raise BadParameterError("params error: symbol invalid")
    wanted = {name: params.get(name) for name in ("symbol", "status", "baseCoin")}
    rows = [
        row
        for row in holdings.instruments(category, now_ms)
        if all(value in (None, "", row[name]) for name, value in wanted.items())
    ]
    if category == "spot":
        return Reply(fields={"category": category}, rows=[json.dumps(row) for row in rows])
    limit = _whole(params, "limit", _USUAL_INSTRUMENTS, 1, _MAX_INSTRUMENTS)
    begin = params.get("cursor") or ""
    rest = [row for row in rows if row["symbol"] >= begin]
    cursor = rest[limit]["symbol"] if len(rest) > limit else ""
    page = [json.dumps(row) for row in rest[:limit]]
    return Reply(fields={"category": category, "nextPageCursor": cursor}, rows=page)


def _category(params: Params, known: tuple[str, ...], usual: str = "") -> str:
    category = params.get("category") or usual
    if category not in known:
        raise BadParameterError("Illegal category")
    return category


def _whole(params: Params, name: str, usual: int, low: int, high: int) -> int:
    """A whole number out of a range; the usual one where it is absent."""
    text = params.get(name, "")
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
        raise BadParameterError(f"params error: {name} invalid")
    return int(text)


_PATHS: Final[Mapping[str, Callable[[Holdings, Params, int, Keeps], Reply]]] = {
    "/v5/market/time": _time,
    "/v5/market/kline": _kline,
    "/v5/market/mark-price-kline": _priced_kline,
    "/v5/market/index-price-kline": _priced_kline,
    "/v5/market/funding/history": _funding,
    "/v5/market/instruments-info": _instruments,
}
