"""What is seen of a candle while it forms: a path inside the true one, as far as time has come.

In: the true candle and the share of its time that has passed. Out: open as it is; high, low and close of the
path so far; volume and turnover in proportion. The path goes from open over both extremes to close. Which
extreme comes first is drawn from the seed, not from the candle: else the first move would tell where it ends.
"""

from __future__ import annotations

import itertools
import math
from typing import Final, NamedTuple

from polyscale.replay.candles import Candle

_FIRST_TURN: Final = (0.15, 0.45)  # share of the time at which the first extreme is met
_SECOND_TURN: Final = (0.55, 0.90)
_MASK: Final = (1 << 64) - 1


class Steps(NamedTuple):
    """How many decimals prices and volumes of a market have; none for more than can be counted."""

    price: int | None
    volume: int | None


def partial_candle(true: Candle, share: float, steps: Steps, seed: int) -> Candle:
    """The candle after ``share`` of its time, in [0, 1)."""
    knots = _knots(true, seed)
    price = _price_at(knots, share)
    if steps.price is not None:
        price = round(price, steps.price)
    price = min(max(price, true.low), true.high)
    seen = [price, *(value for at, value in knots if at <= share)]
    volume = true.volume * share
    if steps.volume is not None:
        unit = 10**steps.volume
        volume = math.floor(volume * unit) / unit  # down, so that it is less than the whole
    traded = volume / true.volume if true.volume > 0 else share
    return Candle(true.start_ms, true.open, max(seen), min(seen), price, volume, true.turnover * traded)


def _knots(true: Candle, seed: int) -> list[tuple[float, float]]:
    """Shares of the time and the prices between which the path is straight."""
    bits = _mixed(true.start_ms ^ seed)
    first = _FIRST_TURN[0] + (_FIRST_TURN[1] - _FIRST_TURN[0]) * (bits >> 1 & 0xFFFF) / 0x10000
    second = _SECOND_TURN[0] + (_SECOND_TURN[1] - _SECOND_TURN[0]) * (bits >> 17 & 0xFFFF) / 0x10000
    turns = (true.high, true.low) if bits & 1 else (true.low, true.high)
    return [(0.0, true.open), (first, turns[0]), (second, turns[1]), (1.0, true.close)]


def _price_at(knots: list[tuple[float, float]], share: float) -> float:
    for (before, start), (after, end) in itertools.pairwise(knots):
        if share < after:
            return start + (end - start) * (share - before) / (after - before)
    return knots[-1][1]


def _mixed(number: int) -> int:
    """Bits that look random, the same in every process (splitmix64)."""
    number = (number * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _MASK
    return number ^ number >> 31
