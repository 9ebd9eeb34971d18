"""The chapter's training: its optimiser and its schedule, on stretches of rows that the windows share."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from polyscale.chapter.frames import floats
from polyscale.chapter.network import TERMS, MultiScaleAttention
from polyscale.chapter.panel import Floats, Shared, check_returns, freeze, part_of, shared_rows
from polyscale.chapter.windows import Windows
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.settings import as_config_error, whole
from polyscale.training.settings import Kept, Schedule, TrainingSettings

if TYPE_CHECKING:
    from polyscale.training.progress import EpochReport

Data = Windows | tuple[Mapping[str, Any], ArrayLike]
Labelled = tuple[Shared, Floats]


def train_multi_scale_model(
    model: MultiScaleAttention,
    train_data: Data,
    val_data: Data,
    epochs: int = 100,
    batch_size: int = 64,
    learning_rate: float = 0.001,
    device: str = "cpu",
    *,
    patience: int = 10,
    seed: int = 1,
) -> dict[str, list[float | None]]:
    """Train a model on windows, in place; it ends with the weights of the best validation loss.

    AdamW and cosine warm restarts as in the chapter; the loss is pinball of quantiles, cross-entropy of the
    direction with logits and QLIKE of volatility, balanced over horizons (the chapter adds a squared error of
    1e-7 to a cross-entropy of 0.69). Inputs are centred and scaled by what the training windows say, which is
    kept in the model.

    Parameters
    ----------
    train_data, val_data
        `Windows`, or ``(X, y)``: per scale windows [N, L, F], and the log returns [N, 3] over the model's
        horizons, NaN where not known. Windows in the order of time are fastest. They are not purged here; see
        `Windows.split`.
    epochs
        At most; training stops after ``patience`` epochs without a better validation loss.
    batch_size
        Windows of a step.
    device
        ``cpu``: here the network trains on the processor.

    Returns
    -------
    dict
        One number per epoch, None where there is none: ``train_loss`` and ``val_loss``, sums of the three
        parts in units of what a constant forecast scores (which has 1.7 itself), and ``val_direction_acc``,
        the share of sides that were forecast, all horizons together.

    Raises
    ------
    DataError, ConfigError, HistoryError, TrainingError
        Each names what was needed and what was found.
    """
    check_device(device)
    train, y = _read(model, train_data, "train_data")
    validate, val_y = _read(model, val_data, "val_data")
    with as_config_error():
        settings = TrainingSettings(
            epochs=epochs,
            learning_rate=learning_rate,
            schedule=Schedule.WARM_RESTARTS,
            patience=patience,
            keep=Kept.BEST,
        ).with_batch_size(batch_size)
    seed = whole(seed, "seed", 0)
    before = copy.deepcopy(model.state_dict())
    try:
        reports = _trained(model, (train, y), (validate, val_y), settings, seed)
    except BaseException:  # an interruption as well: no scaler of this training beside weights of another
        model.load_state_dict(before)
        raise
    model.eval()
    return {
        "train_loss": [report.train_loss for report in reports],
        "val_loss": [report.val_loss for report in reports],
        "val_direction_acc": [report.val_hit_rate for report in reports],
    }


def _trained(
    model: MultiScaleAttention, train: Labelled, validate: Labelled, settings: TrainingSettings, seed: int
) -> list[EpochReport]:
    """Freeze what training windows say, and fit; the model has the weights that are kept."""
    from polyscale.training.fit import fit  # Lightning takes seconds to load

    freeze(model, *train)
    with tempfile.TemporaryDirectory() as folder:
        network, reports = fit(
            part_of(model, *train),
            part_of(model, *validate),
            model.network.spec,
            settings,
            seed,
            Path(folder),
            begin_with=model.network,
            min_origins=1,
        )
    model.network.load_state_dict(network.state_dict())
    return reports


def check_device(device: str) -> None:
    """Raise ConfigError for a device other than the processor."""
    if str(device) != "cpu":
        raise ConfigError(
            f"device must be cpu, got {device}: stretches are cut there; on another one move the model with "
            "model.to(device) and call it on tensors"
        )


def _read(model: MultiScaleAttention, data: Data, what: str) -> Labelled:
    if isinstance(data, Windows):
        if data.horizons != model.settings.horizons:
            told = [[str(h) for h in each] for each in (model.settings.horizons, data.horizons)]
            raise ConfigError(f"{what} must have the horizons of the model, {told[0]}, got {told[1]}")
        data = data.data
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ConfigError(f"{what} must be Windows or a pair (X, y), got {type(data).__name__}")
    x, y = data
    shared = shared_rows(model, x)
    returns = floats(y, f"y of {what}")
    if returns.shape != (len(shared.last), len(TERMS)):
        raise DataError(
            f"y of {what} must be [{len(shared.last)} windows, {len(TERMS)} horizons], got {returns.shape}"
        )
    returns = np.where(np.isfinite(returns), returns, np.nan)
    check_returns(shared, returns, what)
    return shared, returns
