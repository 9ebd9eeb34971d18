"""What a scale is: a timeframe, where its rows come from, and how many of them the network sees.

Beside it, how a series is taken apart into bands: by a wavelet filter, or by variational modes.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator, model_validator

from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe


class WaveletSettings(Settings):
    """An undecimated wavelet transform that looks back only, see `polyscale.scales.wavelet`."""

    wavelet: str = Field("db4", description="a discrete filter of PyWavelets")
    levels: int = Field(4, ge=1, le=12, description="details; the j-th holds periods of about 2^j to 2^(j+1)")

    @property
    def bands(self) -> tuple[str, ...]:
        """``detail_1``, the finest, ... and ``trend``."""
        return (*(f"detail_{level + 1}" for level in range(self.levels)), "trend")

    @field_validator("wavelet")
    @classmethod
    def _is_known(cls, name: str) -> str:
        """`wavelet` is one of `pywt.wavelist(kind="discrete")`."""
        import pywt  # here, since the config of a run without wavelets has no need of it

        known = pywt.wavelist(kind="discrete")
        if name not in known:
            near = get_close_matches(name, known, n=4, cutoff=0.3) or known[:4]
            raise ValueError(
                f"wavelet must be a discrete filter of PyWavelets, got {name!r}; near it: {', '.join(near)}"
            )
        return name


class VmdSettings(Settings):
    """Variational modes of each trailing window, see `polyscale.scales.vmd`."""

    window: int = Field(256, ge=8, description="bars; of an odd number the oldest is left out")
    modes: int = Field(4, ge=1, le=32, description="how many a window is taken apart into")
    alpha: float = Field(2_000.0, gt=0, description="how narrow a mode is; bandwidth goes with 1/sqrt(alpha)")
    tau: float = Field(
        0.0,
        ge=0,
        lt=4,
        description="step of the dual ascent: 0 leaves noise out of the modes, 4 never settles",
    )
    dc: bool = Field(False, description="hold the first mode at frequency 0")
    init: Literal["uniform", "zero", "random"] = Field("uniform", description="where frequencies start")
    seed: int = Field(0, ge=0, description="of the random start, the same one for every window")
    tol: float = Field(1e-7, gt=0, le=1, description="mean squared change, in sd^2, at which to stop")
    every: int = Field(1, ge=1, description="bars from one computed row to the next; rows between hold it")
    max_iterations: int = Field(
        500, ge=2, description="iterates, the start being the first: one update fewer, as vmdpy counts"
    )

    @property
    def bands(self) -> tuple[str, ...]:
        """``mode_1``, the slowest, ..."""
        return tuple(f"mode_{k + 1}" for k in range(self.modes))


class Source(StrEnum):
    """Where the rows of a scale come from."""

    RESAMPLE = "resample"  # features of the scale's bars
    WAVELET = "wavelet"  # bands of the log closes of the scale's bars
    VMD = "vmd"  # their variational modes


class ScaleSettings(Settings):
    """One scale of the market: a timeframe, or bands of it."""

    timeframe: Timeframe = Field(description="length of its bars, a whole multiple of the first scale's")
    lookback: int = Field(ge=1, description="rows of this scale that a forecast may depend on")
    source: Source = Field(
        Source.RESAMPLE,
        description="resample: features of the scale's bars; wavelet: bands of their log closes; vmd: their "
        "variational modes",
    )
    wavelet: WaveletSettings | None = Field(None, description="with source: wavelet; absent: db4, 4 levels")
    vmd: VmdSettings | None = Field(None, description="with source: vmd; absent: 4 modes of 256 bars")
    bands: tuple[str, ...] | None = Field(
        None,
        description="of the decomposition: detail_1 (finest) ..., trend; mode_1 (slowest) ...; absent: all",
    )
    features: tuple[str, ...] | None = Field(
        None, description="of the catalogue, with source: resample; absent: data.features"
    )
    native_history: bool = Field(
        False,
        description="use stored bars of this timeframe from before the base bars, if the overlap agrees",
    )

    @property
    def name(self) -> str:
        """``5m``, ``5m wavelet``, ``5m vmd mode_1``."""
        filtered = self.wavelet.wavelet if self.source is Source.WAVELET and self.wavelet else None
        source = () if self.source is Source.RESAMPLE else (filtered or self.source.value,)
        return " ".join((str(self.timeframe), *source, *(self.bands or ())))

    @property
    def all_bands(self) -> tuple[str, ...]:
        """Names of what the source takes a series apart into."""
        if self.source is Source.WAVELET:
            return (self.wavelet or WaveletSettings()).bands
        return (self.vmd or VmdSettings()).bands if self.source is Source.VMD else ()

    @model_validator(mode="after")
    def _belongs_to_source(self) -> ScaleSettings:
        """What is said of a source belongs to it.

        - `wavelet` is given with `source: wavelet` only, `vmd` with `source: vmd` only
        - `features` is given with `source: resample` only, `bands` with the other two
        - `bands` are of the decomposition, each once, in its order: details from the finest, then the trend;
          modes from the slowest
        """
        for key, source in (("wavelet", Source.WAVELET), ("vmd", Source.VMD), ("features", Source.RESAMPLE)):
            if getattr(self, key) is not None and self.source is not source:
                raise ValueError(
                    f"{key} must be given with source: {source.value} only, got {self.source.value}"
                )
        if self.bands is not None and self.source is Source.RESAMPLE:
            raise ValueError("bands must be given with source: wavelet or vmd only, got resample")
        chosen = self.bands if self.bands is not None else self.all_bands
        if list(chosen) != [band for band in self.all_bands if band in chosen] or (
            self.bands is not None and not self.bands
        ):
            raise ValueError(
                f"bands must be out of {list(self.all_bands)}, in this order, got {list(chosen)}"
            )
        return self
