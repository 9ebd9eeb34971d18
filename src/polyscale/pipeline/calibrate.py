"""The frozen calibration of a trained network: slopes of direction and shape, fitted on its validation."""

from __future__ import annotations

import torch

from polyscale.forecast.slopes import fit_slopes
from polyscale.pipeline.judge import forecast_panel
from polyscale.pipeline.learn import Prepared
from polyscale.training.model_file import Model


def calibrate(model: Model, prepared: Prepared) -> None:
    """Set the slopes of the model's heads; without an origin of validation nothing is shown: slopes of 0."""
    said, came = [], []
    for panel, part in zip(prepared.panels, prepared.splits, strict=True):
        if part.validate.any():
            said.append(forecast_panel(model, panel, part.validate, prepared.beside(panel)))
            came.append(panel.targets.log_return[part.validate])
    heads = model.network.heads
    if not said:
        heads.set_slopes(torch.zeros_like(heads.direction_slopes), torch.zeros_like(heads.shape_slopes))
        return
    found = fit_slopes(said, came, heads.base_quantiles.double().numpy())
    heads.set_slopes(torch.from_numpy(found.direction), torch.from_numpy(found.shape))
