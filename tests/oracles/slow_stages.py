"""Slow and obvious twins of fast stages, written from their definitions, row by row."""

import math


def slow_resample(rows, source_min, target_min):
    """Coarse bars as dicts from fine bars as dicts with close_ms; the last unfinished one is left out."""
    step, coarse = target_min * 60_000, {}
    for row in rows:
        end = math.ceil(row["close_ms"] / step) * step
        coarse.setdefault(end, []).append(row)
    last = rows[-1]["close_ms"]
    return [
        {
            "close_ms": end,
            "open": inside[0]["open"],
            "high": max(r["high"] for r in inside),
            "low": min(r["low"] for r in inside),
            "close": inside[-1]["close"],
            "volume": sum(r["volume"] for r in inside),
        }
        for end, inside in sorted(coarse.items())
        if end <= last
    ]


def slow_targets(close, horizon):
    """(log return, log mean variance) of every row, None where the future is not there."""
    found = []
    for t in range(len(close)):
        if t + horizon >= len(close):
            found.append((None, None))
            continue
        steps = [math.log(close[k + 1] / close[k]) for k in range(t, t + horizon)]
        found.append((sum(steps), math.log(sum(s * s + 1e-10 for s in steps) / horizon)))
    return found
