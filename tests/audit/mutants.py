"""Catalogues in which one causal operation, inside one formula, looks ahead.

An operation is a call of a window function, of a decomposition, or the reading of a column. Every one that
a formula makes is counted; in a mutant, one of them gives what it would give some bars later. At the end of
the bars, where there is no later, it gives nothing, or goes on with the last value as careless code does.
"""

import threading
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from polyscale.features import bands, chapter, inputs, surroundings, volatility, volume
from polyscale.features.feature import Feature
from polyscale.features.inputs import Inputs

MODULES = (bands, chapter, inputs, surroundings, volatility, volume)
OPERATIONS = (
    "change",
    "lag",
    "log_volatility",
    "mean_of_lags",
    "modwt",
    "ratio",
    "ratio_less_one",
    "trailing_max",
    "trailing_mean",
    "trailing_min",
    "trailing_std",
    "trailing_sum",
)


class Mutation(NamedTuple):
    """Which call of a formula looks how far ahead."""

    call: int
    bars: int
    holds_the_last: bool


class Counting(threading.local):
    """Calls of the formula that this thread is in, and what is done to one of them."""

    calls = 0
    mutation: Mutation | None = None
    inside = False


COUNT = Counting()


def instrument(monkeypatch):
    """Let every operation of every formula be counted, and one of them be moved."""
    for module in MODULES:
        for name in OPERATIONS:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, _counted(getattr(module, name)))
    monkeypatch.setattr(Inputs, "column", _counted(Inputs.column))


def num_calls(feature: Feature, bars, timeframe) -> int:
    """How many operations a formula makes."""
    _evaluate(feature, Inputs(bars, timeframe), None)
    return COUNT.calls


def mutant(feature: Feature, mutation: Mutation) -> Feature:
    """The feature with one of its operations moved ahead."""
    return replace(feature, formula=lambda x: _evaluate(feature, Inputs(x.bars, x.timeframe), mutation))


def _evaluate(feature, x, mutation):
    COUNT.calls, COUNT.mutation, COUNT.inside = 0, mutation, True
    try:
        with np.errstate(all="ignore"):
            return np.array(feature.formula(x))
    finally:
        COUNT.inside = False


def _counted(operation):
    def wrapped(*given):
        found = operation(*given)
        if not COUNT.inside:
            return found
        COUNT.calls += 1
        mutation = COUNT.mutation
        if mutation is None or COUNT.calls != mutation.call:
            return found
        if isinstance(found, tuple):
            return tuple(_ahead(values, mutation) for values in found)
        return _ahead(found, mutation)

    return wrapped


def _ahead(values, mutation):
    """What stands some bars later, along the last axis."""
    moved = np.full_like(values, np.nan)
    if mutation.holds_the_last and values.shape[-1]:
        moved[:] = values[..., -1:]
    kept = max(values.shape[-1] - mutation.bars, 0)
    moved[..., :kept] = values[..., mutation.bars :]
    return moved
