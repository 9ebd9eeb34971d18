"""What a walk-forward came to, as the page reads it: evaluation.json in the words of `polyscale.evaluation`.

In: plain data, as evaluation.json holds it. Out: `WalkResults`. Nothing is computed here, so that a page can
be made again of a folder that was finished long ago.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Final, Union, cast, get_args, get_origin, get_type_hints

from polyscale.evaluation.breakdown import Part
from polyscale.evaluation.claims import Claim
from polyscale.evaluation.contest import Loss, Standing
from polyscale.evaluation.scorecard import HorizonScore, Scorecard
from polyscale.evaluation.tail_risk import TailRisk
from polyscale.evaluation.trading.managed import ManagedComparison
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

NETWORK: Final = "network"  # its name among the standings
BASE: Final = "base"


@dataclass(frozen=True)
class Standings:
    """All forecasts of one symbol at one horizon, the network's among them; none where nothing was judged."""

    num_origins: int
    models: Mapping[str, Standing]


@dataclass(frozen=True)
class FoldSlopes:
    """How far the network's own direction and shape were believed in one fold, per horizon."""

    fold: str  # first day tested
    direction: tuple[float, ...]
    shape: tuple[float, ...]


@dataclass(frozen=True)
class SymbolResults:
    """One symbol over all folds; tuples go by horizon."""

    scorecard: Scorecard
    standings: tuple[Standings, ...]
    tail_risk: tuple[TailRisk | None, ...]
    breakdown: tuple[Mapping[str, tuple[Part, ...]], ...]  # by month, hour, volatility; empty without a base
    ablations: Mapping[str, tuple[float | None, ...]]
    seeds: Mapping[str, tuple[float | None, ...]]  # QLIKE of each seed alone over the base's
    slopes: tuple[FoldSlopes, ...]
    first: str  # judged origin
    last: str
    managed: tuple[ManagedComparison, ...] = ()  # volatility-managed holding, by horizon
    managed_reason: str = ""  # why there is none

    def loss(self, h: int, rival: str, measure: str) -> Loss | None:
        """``qlike``, ``pinball`` or ``crps`` of a rival at the h-th horizon; None where it was not judged."""
        standing = self.standings[h].models.get(rival)
        return None if standing is None else cast(Loss, getattr(standing, measure))

    def score(self, h: int) -> HorizonScore:
        """The network's own scores at the h-th horizon."""
        return self.scorecard.horizons[h]


@dataclass(frozen=True)
class WalkResults:
    """All symbols, the claims judged together, and the seconds of all fits by name."""

    horizons: tuple[str, ...]
    symbols: Mapping[str, SymbolResults]
    ablations: Mapping[str, tuple[float | None, ...]]  # means over symbols
    claims: tuple[Claim, ...]
    seconds: Mapping[str, float]

    def rivals(self) -> list[str]:
        """Names of all rivals, in the order in which they were asked for."""
        return list(
            dict.fromkeys(
                name
                for each in self.symbols.values()
                for row in each.standings
                for name in row.models
                if name != NETWORK
            )
        )

    def ratios(self, h: int, rival: str, measure: str) -> list[float]:
        """The network's loss over a rival's, of the symbols that have one."""
        losses = [each.loss(h, rival, measure) for each in self.symbols.values()]
        return [loss.ratio for loss in losses if loss is not None and loss.ratio is not None]


def results_from(plain: Mapping[str, Any]) -> WalkResults:
    """Read plain data; unknown keys are left alone, null is NaN where it had to be a number.

    Raises
    ------
    DataError
        If something is not there, or is not of the kind that it should be.
    """
    return cast(WalkResults, _read(WalkResults, plain, "evaluation"))


def _read(kind: Any, value: Any, place: str) -> Any:
    """A value of a kind out of what JSON has for it; ``place`` is for the error."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (present,) = (each for each in inside if each is not types.NoneType)
        return None if value is None else _read(present, value, place)
    if kind is float and value is None:
        return math.nan
    if origin is tuple:
        items = _plain(list | tuple, value, place)
        return tuple(_read(inside[0], item, f"{place}[{i}]") for i, item in enumerate(items))
    if origin is Mapping:
        items = _plain(Mapping, value, place).items()
        return {str(key): _read(inside[1], item, f"{place}.{key}") for key, item in items}
    return _record(kind, value, place) if is_dataclass(kind) else _plain(kind, value, place)


def _record(kind: Any, value: Any, place: str) -> Any:
    if kind is Timeframe:
        return Timeframe.parse(_plain(str, value, place))
    hints, given = _hints(kind), {}
    _plain(Mapping, value, place)
    for field in fields(kind):
        if field.name in value:
            given[field.name] = _read(hints[field.name], value[field.name], f"{place}.{field.name}")
        elif field.default is MISSING:
            raise DataError(f"{place}: must hold {field.name!r}, found none; evaluate again to have it")
    return kind(**given)


def _plain(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, int | float if kind is float else kind):
        raise DataError(f"{place}: must be {getattr(kind, '__name__', kind)}, got {value!r}")
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
