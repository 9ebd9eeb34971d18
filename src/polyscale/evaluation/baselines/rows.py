"""What every baseline is given: the panels, and which origins are for learning and which to forecast at.

In: panels of one `DataSettings`, masks over their origins. Out: `Rows`. A baseline is a function of rows and
a seed that gives, per panel, log mean variance per base bar at the wanted origins, NaN where it cannot say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polyscale.dataset.panel import Panel
from polyscale.dataset.settings import DataSettings
from polyscale.market.errors import HistoryError
from polyscale.market.timeframe import MINUTE_MS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_MIN_ORIGINS = 500


@dataclass(frozen=True, eq=False)
class Rows:
    """One panel per symbol; masks [T] over the origins of each."""

    panels: Sequence[Panel]
    train: Sequence[Bools]  # origins whose labels may be learned from; none for a symbol that is left out
    validate: Sequence[Bools]  # origins whose labels choose penalties and when to stop
    wanted: Sequence[Bools]  # origins to forecast at
    data: DataSettings

    def __iter__(self) -> Iterator[tuple[Panel, Bools, Bools, Bools]]:
        """Panel by panel: train, validate, wanted."""
        return zip(self.panels, self.train, self.validate, self.wanted, strict=True)


class Baseline(Protocol):
    """Any of them."""

    def __call__(self, rows: Rows, seed: int = 1) -> list[Floats]:
        """Per panel [wanted, H] log mean variance per base bar, NaN where it cannot say."""
        ...


def learnable(panel: Panel, mask: Bools, every_minutes: int = 1) -> Bools:
    """The origins of a mask [T] that are usable and have every label, one in so many minutes."""
    labelled = np.isfinite(panel.targets.log_variance).all(axis=1)
    on_grid = (panel.time_ms // MINUTE_MS) % every_minutes == 0
    return np.asarray(mask & panel.usable & labelled & on_grid)


def where_usable(panel: Panel, wanted: Bools, values: Floats) -> Floats:
    """Forecasts [wanted, H] with NaN at origins where something that they rest on is not known."""
    return np.where(panel.usable[wanted][:, None], values, np.nan)


def check_learnable(rows: Rows) -> None:
    """Raise `HistoryError` if there is too little to learn from, or nothing to choose by."""
    for name, masks, least in (("training", rows.train, _MIN_ORIGINS), ("validation", rows.validate, 1)):
        found = sum(int(learnable(p, m).sum()) for p, m in zip(rows.panels, masks, strict=True))
        if found < least:
            raise HistoryError(
                f"a learned baseline needs >= {least} {name} origins with labels, found {found}; "
                "import more history or move the split"
            )
