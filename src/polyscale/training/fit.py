"""From parts of panels to a trained network: the one call of this floor.

In: training and validation parts, the network's spec, settings, a seed, a folder for checkpoints. Out: the
network with the best averaged weights, in eval mode, and the history of the losses. A training that was
killed goes on from its last epoch with ``resume=True`` and ends in the same weights.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from polyscale.market.errors import HistoryError, RunError, TrainingError
from polyscale.model.network import MultiScaleAttention, NetworkOutput
from polyscale.model.settings import NetworkSpec
from polyscale.training.allocator import kept_memory
from polyscale.training.batches import Part, most_batches
from polyscale.training.checkpoint import PlainCheckpointIO
from polyscale.training.data import StretchData
from polyscale.training.loss import Labels, LossParts, loss_parts
from polyscale.training.module import TrainingModule
from polyscale.training.progress import EpochReport, Progress
from polyscale.training.settings import Precision, TrainingSettings

_MIN_ORIGINS = 500
logger = logging.getLogger(__name__)


def fit(
    train: Part,
    validate: Part,
    spec: NetworkSpec,
    settings: TrainingSettings,
    seed: int,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[MultiScaleAttention, list[EpochReport]]:
    """Train; see the head of this file.

    Raises
    ------
    HistoryError
        If there are too few training origins to learn from.
    RunError
        If ``resume`` is asked for and the folder holds no checkpoint.
    """
    _check_origins(train)
    history = _History(settings.epochs, progress)
    with _own_threads_and_draws(settings.threads), kept_memory(), _quiet():
        torch.manual_seed(seed)
        network = MultiScaleAttention(spec)
        module = _module(network, train, settings, seed)
        trainer = _trainer(settings, folder, history)
        try:
            data = StretchData(train, validate, settings, seed)
            trainer.fit(module, datamodule=data, ckpt_path=_resume_path(folder, resume))
        except SystemExit as stop_request:  # how Lightning ends after Ctrl-C
            raise TrainingError(
                f"training must run to its end, it was interrupted after {len(history.reports)} of "
                f"{settings.epochs} epochs; go on with `polyscale train --resume last`"
            ) from stop_request
    _load_best(network, folder)
    return network.eval(), history.reports


def _module(
    network: MultiScaleAttention, train: Part, settings: TrainingSettings, seed: int
) -> TrainingModule:
    """Set the network's base quantiles, and measure the losses by what the base alone scores."""
    ahead = tuple(train.settings.base.bars_in(horizon) for horizon in train.settings.horizons)
    quantiles = _base_quantiles(train, network.spec.levels, ahead)
    network.heads.set_base_quantiles(torch.from_numpy(quantiles))
    reference = _base_losses(train, network, ahead)
    steps = most_batches(train, settings.stretch, settings.stretches_per_batch)
    module = TrainingModule(network, settings, ahead, reference, steps, seed)
    network.set_checkpointing(settings.checkpointing)
    if settings.compile and _has_compiler():
        network.compile()
    return module


def _has_compiler() -> bool:
    """Whether torch finds a C++ compiler; says so if not."""
    found = any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)
    if not found:
        logger.warning("training.compile needs a C++ compiler (g++ or clang++), found none: not compiled")
    return found


def _trainer(settings: TrainingSettings, folder: Path, history: _History) -> pl.Trainer:
    """One process, one thread; the best and the last epoch kept without pickle."""
    at_end: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    best = ModelCheckpoint(folder, filename="best", monitor="val_loss", **at_end)
    last = ModelCheckpoint(folder, filename="last", **at_end)
    stop = EarlyStopping("val_loss", patience=settings.patience, check_finite=True)
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=settings.epochs,
        precision="bf16-mixed" if settings.precision is Precision.BF16 else "32-true",
        gradient_clip_val=settings.gradient_clip,
        callbacks=[history, stop, best, last],
        plugins=[PlainCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )


def _load_best(network: MultiScaleAttention, folder: Path) -> None:
    """Take the averaged weights of the best epoch."""
    state = PlainCheckpointIO().load_checkpoint(folder / "best.ckpt")["state_dict"]
    average = "average."
    kept = {name.removeprefix(average): value for name, value in state.items() if name.startswith(average)}
    network.load_state_dict(kept)


def _check_origins(train: Part) -> None:
    found = int(sum(counted.sum() for counted in train.counted))
    if found < _MIN_ORIGINS:
        raise HistoryError(
            f"training needs >= {_MIN_ORIGINS} origins with labels, found {found}; import more history, or "
            "shorten the longest horizon or data.base_forecast.min_days"
        )


def _resume_path(folder: Path, resume: bool) -> str | None:
    if not resume:
        return None
    for name in ("best.ckpt", "last.ckpt"):
        if not (folder / name).exists() and not (folder / f"{name}.old").exists():
            raise RunError(f"{folder}: resuming needs {name}, found none; train again with --config")
    for name in ("best.ckpt", "last.ckpt"):
        held = PlainCheckpointIO().load_checkpoint(folder / name)
        if not isinstance(held, dict) or not held.keys() >= {"state_dict", "loops", "epoch"}:
            raise RunError(
                f"{folder / name}: must hold a training's state; it is damaged, train again with --config"
            )
    return str(folder / "last.ckpt")


def _base_quantiles(train: Part, levels: tuple[float, ...], ahead: tuple[int, ...]) -> np.ndarray:
    """Quantiles [H, Q] of the training returns over the base's volatility."""
    standard = []
    for panel, counted in zip(train.panels, train.counted, strict=True):
        log_base_volatility = 0.5 * (panel.base + np.log(np.array(ahead, dtype=np.float32)))
        standard.append((panel.scaled_return * np.exp(panel.log_scale - log_base_volatility))[counted])
    return np.quantile(np.concatenate(standard), levels, axis=0).T.astype(np.float32)


def _base_losses(train: Part, network: MultiScaleAttention, ahead: tuple[int, ...]) -> LossParts:
    """What the zeroed network, which is the base, scores on the training origins."""
    log_variance, scaled, up, scale, base = (
        torch.from_numpy(
            np.concatenate([getattr(p, name)[c] for p, c in zip(train.panels, train.counted, strict=True)])
        )
        for name in ("log_variance", "scaled_return", "up", "log_scale", "base")
    )
    quantiles = network.heads.base_quantiles.expand(1, len(base), -1, -1)
    nothing = torch.zeros(1, len(base), 1)
    output = NetworkOutput(base[None], quantiles, torch.zeros_like(base)[None], nothing, nothing[..., None])
    labels = Labels(
        log_variance[None], scaled[None], up[None], scale[None], torch.ones(1, len(base), dtype=torch.bool)
    )
    parts = loss_parts(
        output, labels, torch.tensor(network.spec.levels), torch.log(torch.tensor(ahead).float())
    )
    return LossParts(*(part.clamp(min=1e-6) for part in parts))


class _History(Callback):
    """Keeps the losses of every epoch, through a resume as well."""

    def __init__(self, epochs: int, progress: Progress | None) -> None:
        self.epochs, self.progress = epochs, progress
        self.reports: list[EpochReport] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        report = EpochReport(
            trainer.current_epoch + 1,
            self.epochs,
            metrics["train_loss"],
            metrics["val_loss"],
            metrics["val_qlike"],
        )
        self.reports.append(report)
        if self.progress is not None:
            self.progress(report)

    def state_dict(self) -> dict[str, Any]:
        return {"reports": [vars(report) for report in self.reports]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.reports = [EpochReport(**report) for report in state_dict["reports"]]


@contextmanager
def _own_threads_and_draws(threads: int) -> Iterator[None]:
    """Give the caller's number of threads and random state back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning advises workers and loggers that a single process has no use for."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*IterableDataset.*__len__.*")
            warnings.filterwarnings("ignore", message=".*Checkpoint directory.*")
            warnings.filterwarnings(
                "ignore", message=".*in eval mode at the start of training.*"
            )  # the average
            warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
            yield
    finally:
        logger.setLevel(level)
