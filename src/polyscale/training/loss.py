"""What training minimises: QLIKE of volatility, pinball of quantiles, cross-entropy of direction.

Shapes: B batch, N origins, H horizons, Q quantile levels. Each part is divided, per horizon, by what the base
forecast scores in training, so that no horizon and no part drowns the others. A crash is the label of all
origins before it, hundreds of them at a long horizon: what no input foretold must not own the gradient, nor
the scale of the losses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from polyscale.model.network import NetworkOutput
from polyscale.training.settings import TrainingSettings

_STEEPEST, _FLAT = 3.0, 6.0  # log units of surprise: QLIKE's slope grows as exp to here, is 0 from there on
_LOUDEST = 3.0  # log units that the forecast volatility may lie above sigma_t when quantiles are scored


class Labels(NamedTuple):
    """What came, NaN where unknown."""

    log_variance: Float[Tensor, "B N H"]
    scaled_return: Float[Tensor, "B N H"]  # in units of sigma_t sqrt(bars in h)
    up: Float[Tensor, "B N H"]
    log_scale: Float[Tensor, "B N H"]  # log of that unit
    counted: Bool[Tensor, "B N"]


class LossParts(NamedTuple):
    """Means over counted origins, per horizon."""

    qlike: Float[Tensor, " H"]
    pinball: Float[Tensor, " H"]
    direction: Float[Tensor, " H"]


def loss_parts(
    output: NetworkOutput,
    labels: Labels,
    levels: Float[Tensor, " Q"],
    log_bars: Float[Tensor, " H"],
    counts: LossParts | None = None,
) -> LossParts:
    """Score a batch.

    Parameters
    ----------
    log_bars
        Log of the base bars in each horizon.
    counts
        What sums over origins are divided by; absent for the number of known labels.
    """
    if counts is None:
        counts = LossParts(*(count.clamp(min=1) for count in known_counts(labels)))
    volatility = (0.5 * (output.log_variance.detach() + log_bars) - labels.log_scale).clamp(max=_LOUDEST)
    quantiles = output.quantiles * volatility.exp()[..., None]
    error = labels.scaled_return[..., None] - quantiles
    return LossParts(
        qlike=_sum(robust_qlike(labels.log_variance - output.log_variance), labels.log_variance, labels)
        / counts.qlike,
        pinball=_sum(
            torch.maximum(levels * error, (levels - 1) * error).mean(-1), labels.scaled_return, labels
        )
        / counts.pinball,
        direction=_sum(_cross_entropy(output.up_logit, labels.up), labels.up, labels) / counts.direction,
    )


def known_counts(labels: Labels) -> LossParts:
    """How many labels are known at counted origins, per part and horizon."""
    each = (labels.log_variance, labels.scaled_return, labels.up)
    return LossParts(*(_known(label, labels).sum(dim=(0, 1)) for label in each))


def robust_qlike(surprise: Tensor) -> Tensor:
    """exp(z) - z - 1 of z = log realised - log forecast, with a slope that falls from z = 3 to 0 at z = 6.

    A three-part M-estimator's manner (Hampel 1974): on ordinary days one origin in a thousand lies beyond 3.
    """
    bent = surprise.clamp(max=_STEEPEST)
    slope = torch.exp(torch.tensor(_STEEPEST)) - 1
    over = (surprise - bent).clamp(max=_FLAT - _STEEPEST)
    return torch.exp(bent) - bent - 1 + slope * (over - over.square() / (2 * (_FLAT - _STEEPEST)))


def unless_surprised(labels: Labels, log_variance: Float[Tensor, "B N H"]) -> Labels:
    """Labels without those that lie more than 3 log units above the forecast."""
    surprised = labels.log_variance - log_variance > _STEEPEST
    return labels._replace(
        log_variance=labels.log_variance.masked_fill(surprised, torch.nan),
        scaled_return=labels.scaled_return.masked_fill(surprised, torch.nan),
    )


def total_loss(
    parts: LossParts, reference: LossParts, log_bars: Float[Tensor, " H"], settings: TrainingSettings
) -> Tensor:
    """One number: every part in units of the base's, averaged over horizons, long ones for less."""
    weights = torch.softmax(-settings.horizon_power * log_bars, dim=0)
    return (
        (weights * parts.qlike / reference.qlike).sum()
        + settings.quantile_weight * (weights * parts.pinball / reference.pinball).sum()
        + settings.direction_weight * (weights * parts.direction / reference.direction).sum()
    )


def _cross_entropy(logit: Tensor, up: Tensor) -> Tensor:
    known = torch.nan_to_num(up)
    return torch.where(
        up.isnan(), torch.nan, F.binary_cross_entropy_with_logits(logit, known, reduction="none")
    )


def _sum(values_bnh: Tensor, label_bnh: Tensor, labels: Labels) -> Tensor:
    """Sum over counted origins whose label is known; a forecast of NaN stays NaN."""
    return torch.where(_known(label_bnh, labels), values_bnh, 0.0).sum(dim=(0, 1))


def _known(label_bnh: Tensor, labels: Labels) -> Tensor:
    return labels.counted[..., None] & label_bnh.isfinite()
