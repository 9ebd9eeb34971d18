"""The network's config, and the spec that rebuilds a trained one."""

from __future__ import annotations

from pydantic import Field, model_validator

from polyscale.market.settings import Settings


class EncoderSettings(Settings):
    """One scale's encoder; the chapter's table gives 2-4 layers and 4-8 heads."""

    layers: int = Field(2, ge=1, le=8, description="layers of attention")
    heads: int = Field(4, ge=1, le=16, description="heads of attention; must divide d_model")
    kernel: int = Field(4, ge=1, le=16, description="rows of the causal convolution stem")
    window: int = Field(8, ge=1, le=64, description="rows, and means of rows on every level, that a row asks")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of values that training sets to zero")


class NetworkSettings(Settings):
    """Sizes of the network; one encoder per scale, in the order of the scales."""

    d_model: int = Field(48, ge=8, le=512, description="width of every state")
    encoders: tuple[EncoderSettings, ...] = Field(
        min_length=1, description="one per scale, in the order of data.scales"
    )
    feedforward_ratio: float = Field(2.0, gt=0, le=8, description="hidden width over d_model")
    cross_heads: int = Field(4, ge=1, le=16, description="heads of the attention across scales, and symbols")
    key_span: int = Field(16, ge=1, le=64, description="newest states of every scale that a query reads")
    scale_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of origins at which training tries to leave out one scale, drawn at random",
    )
    cross_scale: bool = Field(
        True, description="whether scales ask one another; false: each state stays its own"
    )
    gate: bool = Field(True, description="whether scales are weighed by a gate; false: equally")
    across_symbols: bool = Field(
        False, description="each symbol's state asks those of all symbols of the run at the same close"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> NetworkSettings:
        """`heads` of every encoder and `cross_heads` divide `d_model`."""
        for name, heads in [
            *((f"encoders[{i}].heads", encoder.heads) for i, encoder in enumerate(self.encoders)),
            ("cross_heads", self.cross_heads),
        ]:
            if self.d_model % heads:
                raise ValueError(f"{name} must divide d_model ({self.d_model}), got {heads}")
        return self


class NetworkSpec(Settings):
    """All that is needed to build the network again: sizes, and what goes in and out."""

    settings: NetworkSettings
    scales: tuple[str, ...]  # S names
    lookbacks: tuple[int, ...]  # S, rows
    features: tuple[tuple[str, ...], ...]  # S x F names
    num_origin_inputs: int = Field(ge=0)
    horizons: tuple[str, ...]  # H names
    levels: tuple[float, ...]  # Q quantile levels, rising, symmetric, the median among them

    @model_validator(mode="after")
    def _parts_fit(self) -> NetworkSpec:
        counts = {
            "encoders": len(self.settings.encoders),
            "lookbacks": len(self.lookbacks),
            "features": len(self.features),
        }
        for name, count in counts.items():
            if count != len(self.scales):
                raise ValueError(f"{name} must be one per scale ({len(self.scales)}), got {count}")
        if list(self.levels) != sorted(set(self.levels)) or 0.5 not in self.levels:
            raise ValueError(f"levels must rise, differ and hold 0.5, got {self.levels}")
        return self
