"""What is pushed and when: forming candles every few seconds, closed ones at their close. Pure.

In: the topics that anyone listens to, and the exchange's time. Out: texts per topic, in the order of their
instants, each rendered once for all who listen. A bar that we do not hold is not pushed.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Final, NamedTuple

from polyscale.market.timeframe import Timeframe
from polyscale.replay.candles import Candle
from polyscale.replay.conversation import Topic, series_of
from polyscale.replay.decimals import decimal_text
from polyscale.replay.faults import Faults, revised
from polyscale.replay.holdings import Holdings
from polyscale.replay.shelf import Shelf

_LONG_MS: Final = 1 << 62  # later than anything


class _Series(NamedTuple):
    """What a topic means, and the beginning of its messages."""

    shelf: Shelf
    timeframe: Timeframe
    swapped: bool
    interval: str


class _Planned(NamedTuple):
    """A closed candle that is to be pushed."""

    at_ms: int
    order: int
    topic: Topic
    series: _Series
    start_ms: int
    changed: bool  # to be revised at that instant
    twice: bool


class Pushes:
    """The plan of what is pushed.

    Parameters
    ----------
    push_every_s
        Between pushes of forming candles, exchange time.
    now_ms
        The exchange's time: only what closes later is pushed.
    """

    def __init__(self, holdings: Holdings, faults: Faults, push_every_s: float, now_ms: int) -> None:
        self._holdings = holdings
        self._faults = faults
        self._every_ms = round(push_every_s * 1_000)
        self._done_ms = now_ms
        self._series: dict[Topic, _Series] = {}
        self._planned: list[_Planned] = []
        self._order = itertools.count()

    def watch(self, topic: Topic) -> None:
        """Push a topic from now on; it must be one that the holdings have."""
        found = series_of(self._holdings, topic)
        assert found is not None, "conversations admit only topics that there are"
        interval = topic.text.split(".")[1]
        self._series[topic] = _Series(*found, topic.category == "inverse", interval)

    def unwatch(self, topic: Topic) -> None:
        """Push a topic no more."""
        self._series.pop(topic, None)

    def next_ms(self) -> int | None:
        """When something may be due next; none if there is nothing to wait for."""
        next_ms = self._planned[0].at_ms if self._planned else _LONG_MS
        if self._series:
            next_ms = min(next_ms, (self._done_ms // self._every_ms + 1) * self._every_ms)
            for timeframe in self._timeframes():
                next_ms = min(next_ms, _next_close(self._done_ms, timeframe))
        return None if next_ms == _LONG_MS else next_ms

    def due(self, now_ms: int) -> list[tuple[Topic, str]]:
        """What is to be pushed at ``now_ms``: all that came due since the last call, oldest first."""
        for timeframe, topics in self._timeframes().items():
            for close_ms in range(_next_close(self._done_ms, timeframe), now_ms + 1, timeframe.ms):
                self._plan(topics, close_ms)
        texts = []
        while self._planned and self._planned[0].at_ms <= now_ms:
            planned = heapq.heappop(self._planned)
            texts += [(planned.topic, self._closed_text(planned, now_ms))] * (2 if planned.twice else 1)
        if now_ms // self._every_ms > self._done_ms // self._every_ms:
            texts += self._forming_texts(now_ms)
        self._done_ms = max(now_ms, self._done_ms)
        return texts

    def _timeframes(self) -> dict[Timeframe, list[Topic]]:
        topics: dict[Timeframe, list[Topic]] = {}
        for topic, series in self._series.items():
            topics.setdefault(series.timeframe, []).append(topic)
        return topics

    def _plan(self, topics: list[Topic], close_ms: int) -> None:
        for topic in topics:
            series = self._series[topic]
            start_ms = close_ms - series.timeframe.ms
            if series.shelf.closed_at(series.timeframe, start_ms) is None:
                continue
            fault = self._faults.of_close()
            if not fault.missing:
                self._add(close_ms + fault.late_ms, topic, start_ms, changed=False, twice=fault.twice)
            if fault.revised_after_ms is not None:
                self._add(close_ms + fault.revised_after_ms, topic, start_ms, changed=True, twice=False)

    def _add(self, at_ms: int, topic: Topic, start_ms: int, *, changed: bool, twice: bool) -> None:
        series = self._series[topic]
        planned = _Planned(at_ms, next(self._order), topic, series, start_ms, changed, twice)
        heapq.heappush(self._planned, planned)

    def _closed_text(self, planned: _Planned, now_ms: int) -> str:
        series = planned.series
        candle = series.shelf.closed_at(series.timeframe, planned.start_ms)
        assert candle is not None, "it was there when it was planned"
        if planned.changed:
            candle = revised(candle, series.shelf.steps)
            series.shelf.revise(series.timeframe, candle)
        return _text(planned.topic, series, candle, now_ms, confirm="true")

    def _forming_texts(self, now_ms: int) -> list[tuple[Topic, str]]:
        texts = []
        for topic, series in self._series.items():
            candle = series.shelf.forming(series.timeframe, now_ms)
            if candle is not None:
                texts.append((topic, _text(topic, series, candle, now_ms, confirm="false")))
        return texts


def _next_close(after_ms: int, timeframe: Timeframe) -> int:
    offset_ms, step_ms = timeframe.offset_ms, timeframe.ms
    return (after_ms - offset_ms) // step_ms * step_ms + offset_ms + step_ms


def _text(topic: Topic, series: _Series, candle: Candle, now_ms: int, confirm: str) -> str:
    start_ms, *numbers = candle
    first, high, low, last, volume, turnover = map(decimal_text, numbers)
    if series.swapped:
        volume, turnover = turnover, volume
    return (
        f'{{"topic":"{topic.text}","data":[{{"start":{start_ms},"end":{start_ms + series.timeframe.ms - 1},'
        f'"interval":"{series.interval}","open":"{first}","close":"{last}","high":"{high}","low":"{low}",'
        f'"volume":"{volume}","turnover":"{turnover}","confirm":{confirm},"timestamp":{now_ms}}}],'
        f'"ts":{now_ms},"type":"snapshot"}}'
    )
