"""One series of bars, put in order: each closed bar is given out once, in turn, and none is left out.

In: closed candles as they come, pushed or by REST, late, doubled, out of order. Out: events in the order of
time. A candle after a gap is held until the gap is filled, or until REST has denied for long enough that
there is anything to fill it with. Pure: the time comes with the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from polyscale.exchange.bybit_candle import Kline
from polyscale.exchange.source import Window
from polyscale.market.bars import Market
from polyscale.market.timeframe import Timeframe

_REMEMBERED: Final = 1_500  # bars given out that are still watched for revisions
_MIN_DENIALS: Final = 3


class ClosedBar(NamedTuple):
    """The next bar of its series."""

    market: Market
    timeframe: Timeframe
    kline: Kline


class Revision(NamedTuple):
    """A bar that was given out came again with other numbers; ``before`` is none for one out of a hole."""

    market: Market
    timeframe: Timeframe
    before: Kline | None
    after: Kline


class Hole(NamedTuple):
    """Bars that the exchange says it does not have, both ends included; the series goes on after them."""

    market: Market
    timeframe: Timeframe
    first_start_ms: int
    last_start_ms: int


Event = ClosedBar | Revision | Hole


class BarSequence:
    """The state of one series.

    Parameters
    ----------
    next_start_ms
        When the first wanted bar begins, on the grid of the timeframe; earlier ones are dropped.
    gap_patience_s
        A missing bar is given up once REST has denied it at least three times over so long.
    """

    def __init__(
        self, market: Market, timeframe: Timeframe, next_start_ms: int, gap_patience_s: float = 30.0
    ) -> None:
        self.market = market
        self.timeframe = timeframe
        self.next_start_ms = next_start_ms
        self._gap_patience_s = gap_patience_s
        self._given: dict[int, Kline | None] = {}  # the last ones, none for one out of a hole
        self._held: dict[int, Kline] = {}  # later than the next one, which is missing
        self._denied: dict[int, tuple[float, int]] = {}  # since when, how many times

    @property
    def next_close_ms(self) -> int:
        """When the next bar to give out closes."""
        return self.next_start_ms + self.timeframe.ms

    @property
    def has_gap(self) -> bool:
        """Whether a later bar has come while the next one has not."""
        return bool(self._held)

    def overlap_start_ms(self, num_bars: int) -> int:
        """Begin of the oldest of the last ``num_bars`` given out; of the next one where there are none."""
        return self.next_start_ms - min(num_bars, len(self._given)) * self.timeframe.ms

    def push(self, kline: Kline) -> list[Event]:
        """Take one candle that the exchange said is closed."""
        return [*self._take(kline), *self._in_turn()]

    def backfilled(self, klines: Iterable[Kline], window: Window, now_s: float) -> list[Event]:
        """Take all that REST has of a window of closed bars, and that it has nothing else there.

        Parameters
        ----------
        now_s
            By the clock that ``gap_patience_s`` is measured with.
        """
        events = [event for kline in klines for event in self._take(kline)]
        events += self._in_turn()
        for start_ms in range(
            max(window.first_ms, self.next_start_ms), window.last_ms + 1, self.timeframe.ms
        ):
            if start_ms not in self._held:
                since_s, num_denials = self._denied.get(start_ms, (now_s, 0))
                self._denied[start_ms] = (since_s, num_denials + 1)
        while self._is_given_up(self.next_start_ms, now_s):
            events += [self._hole(now_s), *self._in_turn()]
        return events

    def _take(self, kline: Kline) -> list[Event]:
        """Hold what is to come, compare what has been given out."""
        start_ms = kline.start_ms
        if start_ms >= self.next_start_ms:
            self._held[start_ms] = kline
            self._denied.pop(start_ms, None)
            return []
        before = self._given.get(start_ms, kline)  # too old to be remembered: as if it were the same
        if before == kline:
            return []
        self._given[start_ms] = kline
        return [Revision(self.market, self.timeframe, before, kline)]

    def _in_turn(self) -> list[Event]:
        """Give out what is held, as far as nothing is missing."""
        events: list[Event] = []
        while (kline := self._held.pop(self.next_start_ms, None)) is not None:
            self._move_on(kline)
            events.append(ClosedBar(self.market, self.timeframe, kline))
        return events

    def _hole(self, now_s: float) -> Hole:
        first_ms = self.next_start_ms
        while self._is_given_up(self.next_start_ms, now_s):
            del self._denied[self.next_start_ms]
            self._move_on(None)
        return Hole(self.market, self.timeframe, first_ms, self.next_start_ms - self.timeframe.ms)

    def _is_given_up(self, start_ms: int, now_s: float) -> bool:
        since_s, num_denials = self._denied.get(start_ms, (now_s, 0))
        return num_denials >= _MIN_DENIALS and now_s - since_s >= self._gap_patience_s

    def _move_on(self, given: Kline | None) -> None:
        step_ms = self.timeframe.ms
        self._given[self.next_start_ms] = given
        self._given.pop(self.next_start_ms - _REMEMBERED * step_ms, None)
        self.next_start_ms += step_ms
