"""One series of the stream: what is pushed and what REST has, put together in order.

In: pushed candles, and pages of REST that it asks for itself when a bar is missing. Out: events, by a
callback. It asks at once for what is missing after a start or a reconnect, or before a bar that is held;
otherwise when a bar has not been confirmed a while after its close. What REST cannot answer now is asked
again later, and nothing is lost by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from itertools import islice
from typing import Final, NoReturn

import polars as pl

from polyscale.exchange.bar_sequence import BarSequence, Event
from polyscale.exchange.bybit_candle import Kline
from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_connection import backoff_s
from polyscale.exchange.bybit_stream_wire import CandlePush
from polyscale.exchange.errors import BusyError, WireError
from polyscale.exchange.server_clock import ServerClock
from polyscale.exchange.source import windows_of
from polyscale.exchange.stream_settings import StreamCounts, StreamSettings
from polyscale.market.bars import BAR_SCHEMA

_PAGES: Final = 8  # of one round; what is missing in more waits for its turn
_log = logging.getLogger(__name__)


class BybitSeries:
    """A sequence of bars that asks REST for what it misses.

    Parameters
    ----------
    slots
        How many series may ask at once.
    emit
        Takes each event; must not wait.
    """

    def __init__(
        self,
        sequence: BarSequence,
        client: BybitClient,
        clock: ServerClock,
        settings: StreamSettings,
        counts: StreamCounts,
        slots: asyncio.Semaphore,
        emit: Callable[[Event], None],
    ) -> None:
        self._sequence, self._client, self._clock = sequence, client, clock
        self._settings, self._counts, self._slots, self._emit = settings, counts, slots, emit
        self._woken = asyncio.Event()
        self._is_behind = False
        self._num_failures = 0
        self._not_before_s = 0.0  # after an answer without the bar, or none

    def receive(self, push: CandlePush) -> None:
        """Take a pushed candle; one that is still forming is dropped at once."""
        if push.is_closed:
            self._give(self._sequence.push(push.kline))
            if self._sequence.has_gap:
                self._woken.set()

    def catch_up(self) -> None:
        """Ask REST at once if a bar that has closed is missing."""
        settled_ms = self._clock.now_ms() - 1_000 * self._settings.settle_s
        self._is_behind = self._is_behind or self._sequence.next_close_ms <= settled_ms
        if self._is_behind:
            self._woken.set()

    async def run(self) -> NoReturn:
        """Ask REST whenever a bar is missing.

        Raises
        ------
        ExchangeError
            What another try would meet again: a wrong symbol, a region, a ban.
        """
        while True:
            await self._until_due()
            async with self._slots:
                await self._ask()

    async def _until_due(self) -> None:
        while (due_s := self._due_s()) > _now_s():
            self._woken.clear()
            try:
                async with asyncio.timeout_at(due_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _due_s(self) -> float:
        """When REST is to be asked, unless a push makes it needless before."""
        is_urgent = self._is_behind or self._sequence.has_gap
        grace_s = self._settings.settle_s if is_urgent else self._settings.confirm_grace_s
        due_ms = self._sequence.next_close_ms + 1_000 * max(grace_s, self._settings.settle_s)
        return max(self._clock.loop_s(due_ms + 1), self._not_before_s)  # 1 ms above all rounding

    async def _ask(self) -> None:
        """One round: pages from the last bars given out to the newest that has settled."""
        sequence, settings = self._sequence, self._settings
        settled_ms = int(self._clock.now_ms() - 1_000 * settings.settle_s)
        if sequence.next_close_ms > settled_ms:
            self._is_behind = False  # a push came while this waited for its slot
            return
        first_ms = sequence.overlap_start_ms(settings.overlap_bars)
        windows = windows_of(sequence.timeframe, first_ms, settled_ms, self._client.page_bars)
        round_ = list(islice(windows, _PAGES))
        self._counts.num_backfills += 1
        try:
            pages = self._client.pages(sequence.market, sequence.timeframe, round_)
            async with aclosing(pages) as answers:
                async for page in answers:
                    klines = _klines(page.bars, sequence.timeframe.ms)
                    self._give(sequence.backfilled(klines, page.window, _now_s()))
        except (BusyError, WireError) as error:
            self._put_off(error)
            return
        self._num_failures, self._not_before_s = 0, 0.0
        if sequence.next_start_ms <= round_[-1].last_ms:
            self._not_before_s = _now_s() + settings.gap_retry_s
        elif next(windows, None) is None:
            self._is_behind = False

    def _put_off(self, error: BusyError | WireError) -> None:
        self._num_failures += 1
        self._counts.num_busy_backfills += 1
        wait_s = backoff_s(self._num_failures, self._settings)
        self._not_before_s = _now_s() + wait_s
        _log.warning("%s; asking again in %.1f s", error, wait_s)

    def _give(self, events: list[Event]) -> None:
        for event in events:
            self._emit(event)


def _klines(bars: pl.DataFrame, step_ms: int) -> list[Kline]:
    starts = bars["close_time"].dt.epoch("ms") - step_ms
    rows = zip(starts, *(bars[name] for name in list(BAR_SCHEMA)[1:]), strict=True)
    return [Kline(*row) for row in rows]


def _now_s() -> float:
    return asyncio.get_running_loop().time()
