"""All baselines by name, as reports show them.

Those that need torch or LightGBM load them when they are called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final

from polyscale.evaluation.baselines.ewma import ewma
from polyscale.evaluation.baselines.online import base, last_value, log_har
from polyscale.evaluation.baselines.ridge import ridge
from polyscale.evaluation.baselines.rows import Baseline, Floats, Rows
from polyscale.market.errors import ConfigError


def _boosted_trees(rows: Rows, seed: int = 1) -> list[Floats]:
    from polyscale.evaluation.baselines.boosted_trees import boosted_trees

    return boosted_trees(rows, seed)


def _lstm(rows: Rows, seed: int = 1) -> list[Floats]:
    from polyscale.evaluation.baselines.lstm import lstm

    return lstm(rows, seed)


def _transformer(rows: Rows, seed: int = 1) -> list[Floats]:
    from polyscale.evaluation.baselines.transformer import transformer

    return transformer(rows, seed)


BASELINES: Final[Mapping[str, Baseline]] = MappingProxyType(
    {
        "last value": last_value,
        "EWMA": ewma,
        "log-HAR": log_har,
        "base": base,
        "ridge": ridge,
        "LightGBM": _boosted_trees,
        "LSTM": _lstm,
        "transformer (one scale)": _transformer,
    }
)
ALWAYS: Final = ("last value", "log-HAR", "base")  # what a claim must beat: asked in every evaluation
SEEDED: Final = frozenset({"LightGBM", "LSTM", "transformer (one scale)"})  # drawn at random in training
_PACKAGES: Final = MappingProxyType({"LightGBM": "lightgbm"})  # that a baseline needs and may be missing


def baselines_named(names: Sequence[str]) -> tuple[str, ...]:
    """The names as the registry has them, each once; capitals do not matter.

    Raises
    ------
    ConfigError
        If there is no such baseline.
    """
    known = {name.casefold(): name for name in BASELINES}
    unknown = [name for name in names if name.casefold() not in known]
    if unknown:
        raise ConfigError(f"baselines must be out of {list(BASELINES)}, got {unknown}")
    return tuple(dict.fromkeys(known[name.casefold()] for name in names))


def check_installed(names: Sequence[str]) -> None:
    """Raise `ConfigError` if a baseline needs a package that is not there."""
    for name in names:
        package = _PACKAGES.get(name)
        if package is not None and find_spec(package) is None:
            others = [other for other in names if other != name]
            raise ConfigError(
                f"the baseline {name} needs the package {package}, which is not installed; "
                f"pip install 'polyscale[{package}]', or name the baselines without it: {others}"
            )
