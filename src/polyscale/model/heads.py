"""From a fused state to forecasts: a correction of the base's variance, quantiles, direction.

Shapes: B batch, N origins, D width, H horizons, Q quantile levels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from polyscale.model.linear import Linear

_SMALLEST_STEP = 1e-4  # between neighbouring quantiles, in units of the forecast volatility
_MAX_CORRECTION = 3.0  # of a log variance: a factor of 20 either way


class HeadOutput(NamedTuple):
    """Per origin and horizon."""

    log_variance: Float[Tensor, "B N H"]  # log mean variance per base bar
    quantiles: Float[Tensor, "B N H Q"]  # of the return, in units of the forecast volatility; never cross
    up_logit: Float[Tensor, "B N H"]  # of the probability of a positive return


class Heads(nn.Module):
    """Per horizon: volatility, quantiles, direction; zero weights give the base forecast back.

    ``base_quantiles`` [H, Q] are what the quantiles are without the network: those of the training rows'
    returns over the base's volatility, set once by `set_base_quantiles`. Slopes [H] draw direction and shape
    back from what the network says, at 1, to one half and to ``base_quantiles``, at 0; set by `set_slopes`.
    """

    base_quantiles: Tensor
    direction_slopes: Tensor
    shape_slopes: Tensor

    def __init__(
        self, d_model: int, num_origin_inputs: int, num_horizons: int, levels: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.num_horizons, self.num_levels, self.median = num_horizons, len(levels), levels.index(0.5)
        hidden = 2 * d_model
        self.mix = nn.Sequential(Linear(d_model + num_origin_inputs, hidden), nn.GELU(), nn.LayerNorm(hidden))
        self.output = Linear(hidden, num_horizons * (2 + self.num_levels))
        normal = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(levels))
        self.register_buffer("base_quantiles", normal.repeat(num_horizons, 1))
        self.register_buffer("direction_slopes", torch.ones(num_horizons))
        self.register_buffer("shape_slopes", torch.ones(num_horizons))
        self.reset()

    def reset(self) -> None:
        """Make the heads give the base forecast."""
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def set_base_quantiles(self, quantiles_hq: Float[Tensor, "H Q"]) -> None:
        """Set the quantiles that a network without evidence gives."""
        self.base_quantiles.copy_(quantiles_hq)

    def set_slopes(self, direction_h: Float[Tensor, " H"], shape_h: Float[Tensor, " H"]) -> None:
        """Set how far the network's own direction and shape are believed; each between 0 and 1."""
        self.direction_slopes.copy_(direction_h)
        self.shape_slopes.copy_(shape_h)

    def forward(
        self,
        fused_bnd: Float[Tensor, "B N D"],
        origin_bno: Float[Tensor, "B N O"],
        base_bnh: Float[Tensor, "B N H"],
    ) -> HeadOutput:
        """Forecast every horizon."""
        out = self.output(self.mix(torch.cat([fused_bnd, origin_bno], dim=-1)))
        out = out.unflatten(-1, (self.num_horizons, 2 + self.num_levels))
        correction = _MAX_CORRECTION * torch.tanh(out[..., 0] / _MAX_CORRECTION)
        quantiles = torch.lerp(self.base_quantiles, self._quantiles(out[..., 2:]), self.shape_slopes[:, None])
        return HeadOutput(base_bnh + correction, quantiles, self.direction_slopes * out[..., 1])

    def _quantiles(self, out_bnhq: Tensor) -> Tensor:
        """The median moves freely; steps away from it stay positive through softplus."""
        m = self.median
        base_steps = self.base_quantiles.diff(dim=-1).clamp(min=2 * _SMALLEST_STEP) - _SMALLEST_STEP
        moved = torch.cat([out_bnhq[..., :m], out_bnhq[..., m + 1 :]], dim=-1)
        steps = F.softplus(torch.log(torch.expm1(base_steps)) + moved) + _SMALLEST_STEP
        centre = self.base_quantiles[:, m : m + 1] + out_bnhq[..., m : m + 1]
        below = centre - steps[..., :m].flip(-1).cumsum(-1).flip(-1)
        above = centre + steps[..., m:].cumsum(-1)
        return torch.cat([below, centre, above], dim=-1)
