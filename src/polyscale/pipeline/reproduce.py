"""Make a run again from its folder and compare every figure, to the last digit."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyscale.market.errors import RunError
from polyscale.pipeline.learn import prepare
from polyscale.pipeline.load import data_version, same_bars
from polyscale.pipeline.run import Observer, evaluate, read_run_config, start, train
from polyscale.runs.folder import RunFolder, State
from polyscale.store.store import Store


@dataclass(frozen=True)
class Reproduction:
    """What came of it: figures compared, and those that differ as (name, then, now)."""

    num_figures: int
    differences: tuple[tuple[str, Any, Any], ...]

    @property
    def same(self) -> bool:
        """Whether every figure is the same."""
        return not self.differences


def reproduce(folder: RunFolder, store: Store, observer: Observer) -> Reproduction:
    """Load the same bars, train and judge again in a folder that is thrown away, and compare.

    Raises
    ------
    RunError
        If the run is not complete, or its bars cannot be had again.
    """
    if folder.state is not State.COMPLETE:
        raise RunError(f"{folder.path}: must be complete to be reproduced, it is {folder.state.value!r}")
    config = read_run_config(folder)
    symbols = same_bars(folder, config, store)
    with tempfile.TemporaryDirectory(prefix="polyscale-reproduce-") as scratch:
        again = start(config, symbols, data_version(folder), Path(scratch))
        observer.stage("features and base forecast")
        prepared = prepare(config, symbols)
        run = train(again, config, prepared, observer)
        evaluate(run, symbols, prepared, observer)
        then, now = (flatten(each.read_json("metrics.json")) for each in (folder, again))
    differing = tuple(
        (name, then.get(name), now.get(name))
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name) or (name in then) != (name in now)
    )
    return Reproduction(len(then), differing)


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Every figure of nested JSON under one name each."""
    if isinstance(value, dict):
        items = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(f"{name}[{i}]", item) for i, item in enumerate(value)]
    else:
        return {name: value}
    return {key: figure for inner, item in items for key, figure in flatten(item, inner).items()}
