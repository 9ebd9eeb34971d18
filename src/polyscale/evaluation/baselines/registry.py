"""All baselines by name, as reports show them.

Those that need torch or LightGBM load them when they are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from polyscale.evaluation.baselines.ewma import ewma
from polyscale.evaluation.baselines.online import base, last_value, log_har
from polyscale.evaluation.baselines.ridge import ridge
from polyscale.evaluation.baselines.rows import Baseline, Floats, Rows


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
