"""The batches of every epoch, as Lightning asks for them."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from polyscale.training import ranks
from polyscale.training.batches import Part, Where, dealt, epoch_batches, load, ordered_batches, shared
from polyscale.training.settings import TrainingSettings


class _Batches(IterableDataset[Any]):
    def __init__(self, part: Part, batches: list[Where], stretch: int) -> None:
        self.part, self.batches, self.stretch = part, batches, stretch

    def __iter__(self) -> Any:
        return load(self.part, self.batches, self.stretch)

    def __len__(self) -> int:
        return len(self.batches)


class StretchData(LightningDataModule):
    """Fresh batches every epoch, a function of (seed, epoch).

    Of every training batch a process takes its share of the stretches, of validation every so manieth batch.
    """

    def __init__(self, train: Part, validate: Part, settings: TrainingSettings, seed: int) -> None:
        super().__init__()
        self.train_part, self.validate_part, self.settings, self.seed = train, validate, settings, seed

    def train_dataloader(self) -> Any:
        """The batches of the epoch that begins."""
        assert self.trainer is not None
        stretch, per_batch = self.settings.stretch, self.settings.stretches_per_batch
        batches = epoch_batches(self.train_part, stretch, per_batch, self.seed, self.trainer.current_epoch)
        batches = shared(self.train_part, batches, ranks.rank(), ranks.size())
        return DataLoader(_Batches(self.train_part, batches, stretch), batch_size=None)

    def val_dataloader(self) -> Any:
        """Every validation origin once."""
        stretch = self.settings.stretch
        batches = ordered_batches(self.validate_part, stretch, self.settings.stretches_per_batch)
        batches = dealt(self.validate_part, batches, ranks.rank(), ranks.size())
        return DataLoader(_Batches(self.validate_part, batches, stretch), batch_size=None)
