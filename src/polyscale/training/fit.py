"""From parts of panels to a trained network: the one call of this floor.

In: training and validation parts, the network's spec, settings, a seed, a folder for checkpoints. Out: the
network with the best averaged weights, in eval mode, and the history of the losses. A training that was
killed goes on from its last epoch with ``resume=True`` and ends in the same weights. Under torchrun every
process calls it with the same arguments and gets the same network.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy

from polyscale.dataset.panel import num_clock_inputs
from polyscale.market.errors import HistoryError, RunError, TrainingError
from polyscale.model.network import MultiScaleAttention, NetworkOutput
from polyscale.model.settings import NetworkSpec
from polyscale.training import ranks
from polyscale.training.allocator import kept_memory
from polyscale.training.batches import Part, most_batches
from polyscale.training.checkpoint import PlainCheckpointIO
from polyscale.training.data import StretchData
from polyscale.training.loss import Labels, LossParts, loss_parts, unless_surprised
from polyscale.training.module import TrainingModule
from polyscale.training.progress import LAST, EpochReport, Progress
from polyscale.training.record import Record
from polyscale.training.settings import MIN_ORIGINS, Precision, TrainingSettings

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
    begin_with: MultiScaleAttention | None = None,
    min_origins: int = MIN_ORIGINS,
) -> tuple[MultiScaleAttention, list[EpochReport]]:
    """Train; see the head of this file.

    A network that attends across symbols learns from groups of all panels of a part.

    Parameters
    ----------
    begin_with
        A network of the same spec whose weights are trained further; absent: drawn by the seed.
    min_origins
        Of training, below which it is refused.

    Raises
    ------
    HistoryError
        If there are too few training origins to learn from.
    RunError
        If ``resume`` is asked for and the folder holds no checkpoint.
    """
    train, validate = (replace(part, grouped=spec.settings.across_symbols) for part in (train, validate))
    _check_origins(train, min_origins)
    record = Record(folder, settings, progress)
    begin = _resume_path(folder, record) if resume else None
    if begin is None:
        _clear(folder)
    ranks.wait_for_all()  # nobody writes before all have read
    with _own_threads_and_draws(settings.threads), kept_memory(), _quiet():
        torch.manual_seed(seed)
        network = MultiScaleAttention(spec)
        if begin_with is not None:
            network.load_state_dict(begin_with.state_dict())
        if not record.ended:
            _train(network, StretchData(train, validate, settings, seed), record, begin)
    if record.best is None:
        raise TrainingError(
            f"one validation loss must be finite, got none in {len(record.reports)} epochs; look for broken "
            "bars"
        )
    network.load_state_dict(record.best)
    return network.eval(), record.reports


def _train(network: MultiScaleAttention, data: StretchData, record: Record, begin: Path | None) -> None:
    module = _module(network, data.train_part, data.settings, data.seed)
    trainer = _trainer(data.settings, record)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=begin)
    except SystemExit as stop_request:  # how Lightning ends after Ctrl-C
        raise TrainingError(
            f"training must run to its end, it was interrupted after {len(record.reports)} of "
            f"{data.settings.epochs} epochs; go on with `polyscale train --resume last`"
        ) from stop_request


def _module(
    network: MultiScaleAttention, train: Part, settings: TrainingSettings, seed: int
) -> TrainingModule:
    """Set the network's base quantiles, and measure the losses by what the base alone scores."""
    ahead = tuple(train.settings.base.bars_in(horizon) for horizon in train.settings.horizons)
    quantiles = _base_quantiles(train, network.spec.levels, ahead)
    network.heads.set_base_quantiles(torch.from_numpy(quantiles))
    reference = _base_losses(train, network, ahead)
    steps = most_batches(train, settings.stretch, settings.stretches_per_batch)
    clock = num_clock_inputs(train.settings)
    module = TrainingModule(network, settings, ahead, reference, steps, seed, clock)
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


def _trainer(settings: TrainingSettings, record: Record) -> pl.Trainer:
    """One process, or as many as torchrun has started; one thread each; checkpoints without pickle."""
    ddp = DDPStrategy(process_group_backend="gloo", find_unused_parameters=False, broadcast_buffers=False)
    return pl.Trainer(
        accelerator="cpu",
        strategy=ddp if ranks.size() > 1 else "auto",
        devices=ranks.size_here(),
        num_nodes=ranks.size() // ranks.size_here(),
        use_distributed_sampler=False,
        max_epochs=settings.epochs,
        precision="bf16-mixed" if settings.precision is Precision.BF16 else "32-true",
        callbacks=[record],
        plugins=[PlainCheckpointIO()],
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )


def _check_origins(train: Part, least: int) -> None:
    found = int(sum(counted.sum() for counted in train.counted))
    if found < least:
        raise HistoryError(
            f"training needs >= {least} origins with labels, found {found}; import more history, or "
            "shorten the longest horizon or data.base_forecast.min_days"
        )


def _clear(folder: Path) -> None:
    """Leave nothing of a training before."""
    if ranks.is_first():
        PlainCheckpointIO().remove_checkpoint(folder / LAST)


def _resume_path(folder: Path, record: Record) -> Path:
    """The checkpoint, and what it says of the epochs that have ended."""
    path = folder / LAST
    if not path.is_file():
        raise RunError(f"{folder}: resuming needs {LAST}, found none; train again with --config")
    held = PlainCheckpointIO().load_checkpoint(path)
    if not isinstance(held, dict) or not held.keys() >= {"state_dict", "loops", "epoch", "guard"}:
        raise RunError(f"{path}: must hold a training's state; it is damaged, train again with --config")
    record.load_state_dict(held["callbacks"][record.state_key])
    return path


def _base_quantiles(train: Part, levels: tuple[float, ...], ahead: tuple[int, ...]) -> np.ndarray:
    """Quantiles [H, Q] of the training returns over the base's volatility."""
    standard = []
    for panel, counted in zip(train.panels, train.counted, strict=True):
        log_base_volatility = 0.5 * (panel.base + np.log(np.array(ahead, dtype=np.float32)))
        standard.append((panel.scaled_return * np.exp(panel.log_scale - log_base_volatility))[counted])
    return np.nanquantile(np.concatenate(standard), levels, axis=0).T.astype(np.float32)


def _base_losses(train: Part, network: MultiScaleAttention, ahead: tuple[int, ...]) -> LossParts:
    """What the zeroed network, which is the base, scores on the training origins of ordinary days."""
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
        output,
        unless_surprised(labels, output.log_variance),
        torch.tensor(network.spec.levels),
        torch.log(torch.tensor(ahead).float()),
    )
    return LossParts(*(part.clamp(min=1e-6) for part in parts))


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
