"""The chapter's `MultiScaleAttention`: the real network in window mode, with a dict at either end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polyscale.chapter.frames import three_horizons, timeframes
from polyscale.chapter.modules import FEEDFORWARD_RATIO, NAMES, check_width, lookback_of, present
from polyscale.chapter.windows import HORIZONS, per_scale
from polyscale.dataset.scaling import CLIP, Scaler
from polyscale.dataset.settings import DataSettings
from polyscale.forecast.predict import quantile_weights
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.settings import as_config_error
from polyscale.model import network
from polyscale.model.settings import EncoderSettings, NetworkSettings, NetworkSpec
from polyscale.scales.settings import ScaleSettings

TERMS = ("short_term", "medium_term", "long_term")
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


class MultiScaleAttention(nn.Module):
    """Windows of several scales in; expected returns over three horizons and the chances of a rise out.

    What the network reads of the training windows (medians, spreads, the variance of the returns) is frozen
    by `train_multi_scale_model`; before it, inputs are taken as they are and the forecast is that of a return
    of variance 1.

    Parameters
    ----------
    input_dims
        Features of each scale, by its name: ``{"1min": 14, "1H": 14}``.
    n_heads, n_encoder_layers, lookback
        One for all scales, or one for each. Rows of a window beyond ``lookback`` have no influence; absent:
        the chapter's table, 96 for scales that it does not have.
    horizons
        Short, medium, long term.

    Raises
    ------
    ConfigError
        For scales that are no timeframes or no whole multiples of the finest, heads that do not divide the
        width, horizons that do not rise or are no whole multiples of the finest scale.
    """

    base_log_variance: Tensor  # [H] of the training returns, per bar of the finest scale
    median: Tensor  # [all features] of the training rows, scale after scale
    spread: Tensor
    mean_weights: Tensor  # [Q] with which quantiles sum to a mean
    bars_ahead: Tensor  # [H] bars of the finest scale in each horizon

    def __init__(
        self,
        input_dims: Mapping[str, int],
        d_model: int = 64,
        n_heads: int | Mapping[str, int] = 4,
        n_encoder_layers: int | Mapping[str, int] = 2,
        lookback: int | Mapping[str, int] | None = None,
        dropout: float = 0.1,
        *,
        horizons: Sequence[str] = HORIZONS,
    ) -> None:
        super().__init__()
        if not isinstance(input_dims, Mapping):
            found = type(input_dims).__name__
            raise ConfigError(f"input_dims must be features by scale, such as {{'1min': 14}}, got {found}")
        order = dict(zip(input_dims, timeframes(list(input_dims)), strict=True))
        self.scales = tuple(sorted(order, key=order.__getitem__))  # fine to coarse, as the attention has them
        heads = per_scale(n_heads, self.scales, "n_heads")
        layers = per_scale(n_encoder_layers, self.scales, "n_encoder_layers")
        self.lookbacks = per_scale(
            {s: lookback_of(s) for s in self.scales} if lookback is None else lookback,
            self.scales,
            "lookback",
        )
        self.input_dims = per_scale(dict(input_dims), self.scales, "input_dims")
        for count in heads.values():
            check_width(d_model, count)
        ahead = three_horizons(horizons)
        with as_config_error(NAMES):
            self.settings = DataSettings(
                scales=tuple(
                    ScaleSettings(timeframe=order[s], lookback=self.lookbacks[s]) for s in self.scales
                ),
                horizons=ahead,
            )
            sizes = NetworkSettings(
                d_model=d_model,
                encoders=tuple(
                    EncoderSettings(layers=layers[s], heads=heads[s], dropout=dropout) for s in self.scales
                ),
                cross_heads=max(heads.values()),
                feedforward_ratio=FEEDFORWARD_RATIO,
            )
        spec = NetworkSpec(
            settings=sizes,
            scales=self.scales,
            lookbacks=tuple(self.lookbacks[s] for s in self.scales),
            features=tuple(tuple(f"feature_{i}" for i in range(self.input_dims[s])) for s in self.scales),
            num_origin_inputs=0,
            horizons=tuple(str(h) for h in ahead),
            levels=LEVELS,
        )
        self.network = network.MultiScaleAttention(spec)
        num_features = sum(self.input_dims.values())
        bars = torch.tensor([float(self.settings.base.bars_in(h)) for h in ahead])
        self.register_buffer("base_log_variance", -bars.log())
        self.register_buffer("median", torch.zeros(num_features))
        self.register_buffer("spread", torch.ones(num_features))
        self.register_buffer("mean_weights", torch.tensor(quantile_weights(LEVELS), dtype=torch.float32))
        self.register_buffer("bars_ahead", bars)

    def forward(self, inputs: Mapping[str, Tensor], return_attention: bool = False) -> dict[str, Tensor]:
        """Forecast from windows.

        Parameters
        ----------
        inputs
            Per scale [B, L, F] with L >= its lookback, newest row last, NaN where missing; tensors or arrays.

        Returns
        -------
        dict
            ``short_term``, ``medium_term``, ``long_term`` [B]: expected log returns; ``direction`` [B, 3]:
            probabilities of a rise over each of them (the chapter's one has no horizon); on request
            ``attention`` [B, S, S]: how much scale i read of scale j in the order of `scales`, rows sum to 1.

        Raises
        ------
        DataError
            If scales or shapes are not those of the model.
        """
        rows = [self._rows(inputs, scale) for scale in self.scales]
        newest = torch.tensor([x.shape[1] - 1 for x in rows], device=rows[0].device)
        batch = len(rows[0])
        out = self.network(
            network.NetworkInput(
                rows=[scale_rows(x, *self.scaler(j)) for j, x in enumerate(rows)],
                masks=[present(x) for x in rows],
                aligned=newest.expand(batch, 1, -1),
                origin=rows[0].new_zeros(batch, 1, 0),
                base=self.base_log_variance.expand(batch, 1, -1),
            )
        )
        return self.named(out, return_attention)

    def named(self, out: network.NetworkOutput, return_attention: bool) -> dict[str, Tensor]:
        """What the network gave, under the chapter's names; B windows x N origins are put in one line."""
        volatility = (0.5 * out.log_variance).exp() * self.bars_ahead.sqrt()
        expected = ((out.quantiles @ self.mean_weights) * volatility).flatten(0, 1)
        given = {term: expected[:, i] for i, term in enumerate(TERMS)}
        given["direction"] = torch.sigmoid(out.up_logit).flatten(0, 1)
        if return_attention:
            attention = out.cross_attention.flatten(0, 1)
            given["attention"] = attention / attention.sum(dim=-1, keepdim=True).clamp(min=1e-12)
        return given

    def freeze(self, scalers: Sequence[Scaler], base_log_variance: NDArray[np.float32]) -> None:
        """Take up what was fitted on training windows."""
        for name in ("median", "spread"):
            numbers = np.concatenate([np.array(getattr(scaler, name)) for scaler in scalers])
            getattr(self, name).copy_(torch.from_numpy(numbers))
        self.base_log_variance.copy_(torch.from_numpy(base_log_variance))

    def scaler(self, scale_index: int) -> tuple[Tensor, Tensor]:
        """Median and spread [F] of a scale's features."""
        sizes = [self.input_dims[s] for s in self.scales]
        median, spread = (torch.split(each, sizes)[scale_index] for each in (self.median, self.spread))
        return median, spread

    def _rows(self, inputs: Mapping[str, Tensor], name: str) -> Tensor:
        """The newest rows of a scale."""
        if not isinstance(inputs, Mapping) or set(inputs) != set(self.scales):
            found = list(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise DataError(f"inputs must be the scales {list(self.scales)}, got {found}")
        try:
            x = torch.as_tensor(inputs[name], dtype=self.median.dtype)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"windows of {name} must be numbers: {error}") from error
        width, lookback = self.input_dims[name], self.lookbacks[name]
        if x.ndim != 3 or x.shape[2] != width or x.shape[1] < lookback:
            raise DataError(
                f"windows of {name} must be [batch, rows >= {lookback}, {width} features], "
                f"got {list(x.shape)}"
            )
        return x[:, x.shape[1] - lookback :]


def scale_rows(x: Tensor, median: Tensor, spread: Tensor) -> Tensor:
    """Rows under the frozen scalers; what is missing becomes 0, and the mask says so."""
    return ((x - median) / spread).clamp(-CLIP, CLIP).nan_to_num()
