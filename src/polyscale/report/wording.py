"""Numbers as people read them: units, signs, and a dash with a reason where a number does not exist."""

from __future__ import annotations

import math

from polyscale.evaluation.bootstrap import Interval

ABSENT = "–"


def number(value: int | float | None, digits: int = 2, *, unit: str = "", signed: bool = False) -> str:
    """``1,234.50``; the sign is typeset as a minus, and zero has none; None and NaN are a dash."""
    if value is None or not math.isfinite(value):
        return ABSENT
    text = f"{abs(value):,.{digits}f}"
    is_zero = float(text.replace(",", "")) == 0.0
    sign = "" if is_zero else "−" if value < 0 else "+" if signed else ""
    return f"{sign}{text}{unit}"


def percent(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """Return a fraction as a percentage."""
    return number(None if value is None else 100.0 * value, digits, unit=" %", signed=signed)


def interval(value: Interval | None, digits: int = 4, *, factor: float = 1.0, signed: bool = False) -> str:
    """``0.1823 [0.1700, 0.1950]``, or the mean alone where there is no interval."""
    if value is None:
        return ABSENT
    mean = number(factor * value.mean, digits, signed=signed)
    return f"{mean} {bounds(value, digits, factor=factor, signed=signed)}"


def bounds(value: Interval, digits: int = 4, *, factor: float = 1.0, signed: bool = False) -> str:
    """``[0.1700, 0.1950]``, or a dash in brackets where there is no interval."""
    if value.low is None or value.high is None:
        return f"[{ABSENT}]"
    low, high = (number(factor * bound, digits, signed=signed) for bound in (value.low, value.high))
    return f"[{low}, {high}]"


def price(value: float | None) -> str:
    """Return a price with about five digits, whatever the coin costs."""
    if value is None:
        return ABSENT
    digits = 2
    while digits < 10 and 0.0 < abs(value) * 10.0**digits < 10_000:
        digits += 1
    return number(value, digits)


def about(value: float | None) -> str:
    """Return a price to five digits, as far as a forecast knows it."""
    if value is None or not value:
        return ABSENT
    return number(value, max(0, 4 - math.floor(math.log10(abs(value)))))


def p_value(value: float | None) -> str:
    """``0.013``; below a thousandth only that."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def joined(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
