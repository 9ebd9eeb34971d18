"""Which origins train, validate and test, with the longest horizon purged between them.

An origin belongs to a part only if its longest label ends inside the part; the test's last labels may reach
beyond it. Nothing is embargoed: no training row follows a test row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from polyscale.dataset.panel import Panel
from polyscale.dataset.settings import SplitSettings
from polyscale.market.errors import HistoryError
from polyscale.market.instant import ms_of, shown

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Boundaries:
    """Ends of the parts, epoch ms: an origin t trains if t + longest horizon <= ``train_end``."""

    train_end: int
    validate_end: int
    test_end: int


@dataclass(frozen=True, eq=False)
class Split:
    """Masks over the origins [T] of one panel."""

    train: Bools
    validate: Bools
    test: Bools


def boundaries(panels: list[Panel], settings: SplitSettings) -> Boundaries:
    """The same moments for all symbols: from dates, or as shares of all usable origins."""
    times = np.sort(np.concatenate([panel.time_ms[panel.usable] for panel in panels]))
    last = int(times[-1])
    if settings.train_until is not None and settings.validate_until is not None:
        test_end = _end_of(settings.test_until) if settings.test_until else last
        return Boundaries(
            _end_of(settings.train_until), _end_of(settings.validate_until), min(test_end, last)
        )
    assert settings.train_share is not None
    assert settings.validate_share is not None
    cuts = [settings.train_share, settings.train_share + settings.validate_share]
    train_end, validate_end = (int(times[int(cut * (len(times) - 1))]) for cut in cuts)
    return Boundaries(train_end, validate_end, last)


def split(panel: Panel, ends: Boundaries) -> Split:
    """Sort the usable origins of a panel into parts.

    Training and validation origins need every label; the test's may lack them, and evaluation leaves those
    out.
    """
    time, label_end = panel.time_ms, panel.time_ms + panel.targets.horizons[-1].ms
    labelled = np.isfinite(panel.targets.log_variance).all(axis=1)
    usable = panel.usable
    return Split(
        train=usable & labelled & (label_end <= ends.train_end),
        validate=usable & labelled & (time > ends.train_end) & (label_end <= ends.validate_end),
        test=usable & (time > ends.validate_end) & (time <= ends.test_end),
    )


def check_parts(panels: list[Panel], splits: list[Split], ends: Boundaries) -> None:
    """Raise `HistoryError` if a part is empty for all symbols; says what was found where."""
    for name in ("train", "validate", "test"):
        counts = {p.symbol: int(getattr(s, name).sum()) for p, s in zip(panels, splits, strict=True)}
        if sum(counts.values()) == 0:
            found = {p.symbol: _span(p) for p in panels}
            raise HistoryError(
                f"the {name} part needs at least 1 origin with labels, found 0; parts end at "
                f"{shown(ends.train_end)}, {shown(ends.validate_end)}, {shown(ends.test_end)}; "
                f"forecasts can be made in {found}; import more bars or change split"
            )


def _span(panel: Panel) -> str:
    times = panel.time_ms[panel.usable]
    return f"{shown(int(times[0]))} .. {shown(int(times[-1]))}"


def _end_of(day: date) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return ms_of(midnight)
