"""At which instants the future is wrecked: spread over the rows, and where leaks like to sit.

The bar before, at and after each turn of a timeframe (of UTC); beside gaps and inside them; beside the
times of other sources; and early, where a backward fill looks ahead. Drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from polyscale.audit.frames import Ints
from polyscale.audit.trial import Trial, instant
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe

_TIMEFRAMES = tuple(Timeframe(minutes) for minutes in (5, 15, 60, 240, 1_440, 10_080))
_US_PER_MS = 1_000
_ROOM = 10  # bars


def whole_cuts(trial: Trial) -> list[int]:
    """Instants for all rows under all wrecks: every other one at a midnight, where leaks reach far."""
    wanted = trial.plan.whole_cuts
    if not isinstance(wanted, int):
        cuts = sorted({_microseconds(cut) for cut in wanted})
        for cut in cuts:
            if not trial.bar_times[0] <= cut < trial.bar_times[-1]:
                raise ConfigError(
                    f"audit: a cut must have bars on both sides, got {instant(cut)} for bars from "
                    f"{instant(trial.bar_times[0])} to {instant(trial.bar_times[-1])}"
                )
        return cuts
    first, last = _span(trial)
    rng = np.random.default_rng(trial.plan.seed)
    cuts = []
    for i in range(wanted):
        share = (i + 1 if i % 2 == 0 else i + 0.5 + rng.random()) / (wanted + 1)
        index = first + int((last - first) * share)
        cuts.append(int(trial.bar_times[turn_after(trial, index, last) if i % 2 == 0 else index]))
    return sorted(set(cuts))


def turn_after(trial: Trial, index: int, last: int) -> int:
    """The first bar from ``index`` on that closes with its day, else with its hour, before ``last``."""
    times = trial.bar_times[index:last]
    for timeframe in (_TIMEFRAMES[4], _TIMEFRAMES[2]):
        turns = np.flatnonzero(_turns(times, timeframe))
        if len(turns) and (timeframe is _TIMEFRAMES[2] or turns[0] < (last - index) // 2):
            return index + int(turns[0])
    return index


def newest_cuts(trial: Trial) -> list[int]:
    """Instants for the newest rows: taken in turn from every kind of place until there are enough."""
    first, last = _span(trial)
    rng = np.random.default_rng(trial.plan.seed)
    places = [_spread(trial, rng, first, last), *_places(trial, rng, first, last)]
    chosen: dict[int, None] = {}
    while places and len(chosen) < trial.plan.newest_cuts:
        for place in list(places):
            cut = next(place, None)
            if cut is None:
                places.remove(place)
            elif len(chosen) < trial.plan.newest_cuts and trial.bar_times[0] <= cut < trial.bar_times[-1]:
                chosen[cut] = None
    return sorted(chosen)


def _span(trial: Trial) -> tuple[int, int]:
    """Indices of bars: from where every column has begun, up to the last but one.

    A column that begins in the last few bars, or never, does not count: no room is left for a cut.
    """
    last = max(len(trial.bar_times) - 2, 0)
    begins = [
        trial.whole.times[int(there.argmax())] for there in trial.whole.present().values() if there.any()
    ]
    bars = np.searchsorted(trial.bar_times, [trial.whole.times[0], *begins])
    return int(max(bars[bars <= max(last - _ROOM, 0)], default=0)), last


def _spread(trial: Trial, rng: np.random.Generator, first: int, last: int) -> Iterator[int]:
    """Evenly, each moved at random within its share; every fourth one before all columns have begun."""
    num = max(trial.plan.newest_cuts, 1)
    for i, share in enumerate(rng.permutation(num)):
        place = (share + rng.random()) / num
        yield int(trial.bar_times[int(first * place) if i % 4 == 3 else first + int((last - first) * place)])


def _places(trial: Trial, rng: np.random.Generator, first: int, last: int) -> list[Iterator[int]]:
    bars = trial.bar_times
    middle = bars[first : last + 1]
    turns = [
        first + np.flatnonzero(_turns(middle, timeframe))
        for timeframe in _TIMEFRAMES
        if timeframe.ms * _US_PER_MS > trial.step > 0
    ]
    gaps = np.flatnonzero(np.diff(bars) > 1.5 * trial.step) if trial.step else np.empty(0, np.int64)
    return [
        *(_around(trial, rng.permutation(places)) for places in turns),
        _beside_gaps(trial, rng.permutation(gaps)),
        *(_beside(trial, rng.permutation(source.times)) for source in trial.inputs.sources),
        _early(trial),
    ]


def _turns(times: Ints, timeframe: Timeframe) -> np.ndarray:
    return (times - timeframe.offset_ms * _US_PER_MS) % (timeframe.ms * _US_PER_MS) == 0


def _around(trial: Trial, indices: Ints) -> Iterator[int]:
    last = len(trial.bar_times) - 1
    for index in indices:
        for near in (index, index - 1, index + 1):  # at the turn first: there the look ahead is longest
            yield int(trial.bar_times[min(max(near, 0), last)])


def _beside_gaps(trial: Trial, indices: Ints) -> Iterator[int]:
    """The last bar before a gap, an instant in it, the last before its end, the bar after it."""
    for index in indices:
        start, end = int(trial.bar_times[index]), int(trial.bar_times[index + 1])
        yield from (start, (start + end) // 2, end - trial.step, end)


def _beside(trial: Trial, times: Ints) -> Iterator[int]:
    """One bar before a time of a source (there a row that is joined too early shows), at it, and after it."""
    for time in times:
        yield from (int(time) - max(trial.step, 1), int(time), int(time) + trial.step)


def _early(trial: Trial) -> Iterator[int]:
    """After 1, 2, 4, 8 ... bars."""
    kept = 1
    while kept < len(trial.bar_times) // 2:
        yield int(trial.bar_times[kept - 1])
        kept *= 2


def _microseconds(cut: datetime) -> int:
    aware = cut if cut.tzinfo else cut.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000_000)
