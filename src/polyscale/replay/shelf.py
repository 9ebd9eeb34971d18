"""What the exchange holds of one market: every interval's candles, as they are seen at an instant.

In: the frames that we hold of the market. Out: the closed candles of any multiple of their timeframes, and
the one that is forming. Nothing here depends on what begins after ``now_ms``; of a bar that has begun and not
closed, only the path so far is seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from polyscale.replay.candles import Candle, Candles, candles_of, coarser, joined, merged, start_of
from polyscale.replay.decimals import num_decimals
from polyscale.replay.forming import Steps, partial_candle


class Shelf:
    """Candles of one market; the coarser ones are put together when first asked for, then kept.

    A coarser candle is the one that we hold, or else it is put together from the finest timeframe. While it
    forms it is made of the finest timeframe's candles so far, where those reach.

    Parameters
    ----------
    bars
        Checked bars per timeframe, at least one row in each.
    seed
        Of the paths inside candles.
    """

    def __init__(self, bars: Mapping[Timeframe, pl.DataFrame], seed: int) -> None:
        self._held = {timeframe: candles_of(frame, timeframe) for timeframe, frame in bars.items()}
        self.finest = min(self._held)
        self._seed = seed
        self._all: dict[Timeframe, Candles] = {self.finest: self._held[self.finest]}
        self._written: set[Timeframe] = set()
        self._revised: dict[Timeframe, set[int]] = {}  # starts
        self.first_ms = min(int(held.start_ms[0]) for held in self._held.values())
        self.last_ms = max(int(held.start_ms[-1]) + timeframe.ms for timeframe, held in self._held.items())
        finest = self._held[self.finest]
        self.steps = Steps(num_decimals(finest.close), num_decimals(finest.volume))

    @property
    def timeframes(self) -> list[Timeframe]:
        """What is held as it is, not put together."""
        return sorted(self._held)

    def holds(self, timeframe: Timeframe) -> bool:
        """Whether candles of a timeframe are held or can be put together."""
        return timeframe in self._held or self.finest.divides(timeframe)

    def closed(self, timeframe: Timeframe, now_ms: int) -> Candles:
        """Every candle that has closed by ``now_ms``."""
        candles = self._candles(timeframe)
        return candles.between(0, candles.num_until(now_ms - timeframe.ms))

    def forming(self, timeframe: Timeframe, now_ms: int) -> Candle | None:
        """The candle of the period that holds ``now_ms``, as far as it has come; none if nothing began in it.

        Its period has begun at ``now_ms`` or before and closes after it.
        """
        start_ms = start_of(now_ms, timeframe)
        if timeframe != self.finest and self._finest_reaches(start_ms, timeframe):
            return self._so_far(timeframe, start_ms, now_ms)
        candles = self._candles(timeframe)
        idx = candles.index_of(start_ms)
        if idx is None:
            return None
        return partial_candle(candles.row(idx), (now_ms - start_ms) / timeframe.ms, self.steps, self._seed)

    def closed_at(self, timeframe: Timeframe, start_ms: int) -> Candle | None:
        """The candle that began at ``start_ms``, to be asked for after its close."""
        candles = self._candles(timeframe)
        idx = candles.index_of(start_ms)
        return None if idx is None else candles.row(idx)

    def revise(self, timeframe: Timeframe, candle: Candle) -> None:
        """Give a candle that there is other numbers, from now on; those put together from it follow."""
        self._revised.setdefault(timeframe, set()).add(candle.start_ms)
        self._overwrite(timeframe, candle)
        if timeframe == self.finest:
            for coarse in list(self._all):
                if self._is_made(coarse, start_of(candle.start_ms, coarse)):
                    self._remake(coarse, start_of(candle.start_ms, coarse))

    def _is_made(self, timeframe: Timeframe, start_ms: int) -> bool:
        """Whether a candle was put together from the finest ones."""
        if timeframe == self.finest or not self.finest.divides(timeframe):
            return False
        held = self._held.get(timeframe)
        is_held = held is not None and held.index_of(start_ms) is not None
        return not is_held and start_ms not in self._revised.get(timeframe, ())

    def _remake(self, timeframe: Timeframe, start_ms: int) -> None:
        finest = self._all[self.finest]
        stop = finest.num_until(start_ms + timeframe.ms - 1)
        parts = finest.between(finest.num_until(start_ms - 1), stop)
        self._overwrite(timeframe, joined(parts)._replace(start_ms=start_ms))

    def _overwrite(self, timeframe: Timeframe, candle: Candle) -> None:
        candles = self._candles(timeframe)
        if timeframe not in self._written:
            self._written.add(timeframe)
            candles = self._all[timeframe] = candles.copied()  # what we were given stays as it is
        candles.overwrite(candle)

    def _candles(self, timeframe: Timeframe) -> Candles:
        if timeframe not in self._all:
            if not self.holds(timeframe):
                raise ConfigError(f"{timeframe} must be a multiple of what is held, got {self.finest} alone")
            self._all[timeframe] = self._put_together(timeframe)
        return self._all[timeframe]

    def _put_together(self, timeframe: Timeframe) -> Candles:
        held = self._held.get(timeframe)
        if not self.finest.divides(timeframe):
            assert held is not None
            return held
        made = coarser(self._all[self.finest], timeframe)
        return made if held is None else merged(held, made)

    def _finest_reaches(self, start_ms: int, timeframe: Timeframe) -> bool:
        finest = self._all[self.finest]
        if not self.finest.divides(timeframe):
            return False
        return int(finest.start_ms[0]) <= start_ms <= int(finest.start_ms[-1]) or timeframe not in self._held

    def _so_far(self, timeframe: Timeframe, start_ms: int, now_ms: int) -> Candle | None:
        """The finest candles since ``start_ms``, the forming one included, as one."""
        finest = self._all[self.finest]
        parts = finest.between(finest.num_until(start_ms - 1), finest.num_until(now_ms - self.finest.ms))
        newest = self.forming(self.finest, now_ms)
        if not parts.height:
            return None if newest is None else newest._replace(start_ms=start_ms)
        whole = joined(parts)._replace(start_ms=start_ms)
        if newest is None:
            return whole
        return whole._replace(
            high=max(whole.high, newest.high),
            low=min(whole.low, newest.low),
            close=newest.close,
            volume=whole.volume + newest.volume,
            turnover=whole.turnover + newest.turnover,
        )
