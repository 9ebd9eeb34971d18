"""What a scale is: a timeframe, where its rows come from, and how many of them the network sees.

Beside it, how a series is taken apart into bands: by a wavelet filter, or by variational modes.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

from pydantic import Field, field_validator

from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe


class ScaleSettings(Settings):
    """One scale of the market."""

    timeframe: Timeframe
    lookback: int = Field(ge=1, description="rows of this scale that a forecast may depend on")
    source: Literal["resample"] = "resample"
    native_history: bool = Field(
        False,
        description="use stored bars of this timeframe from before the base bars, if the overlap agrees",
    )


class WaveletSettings(Settings):
    """An undecimated wavelet transform that looks back only, see `polyscale.scales.wavelet`."""

    wavelet: str = Field("db4", description="a discrete filter of PyWavelets")
    levels: int = Field(4, ge=1, le=12, description="details; the j-th holds periods of about 2^j to 2^(j+1)")

    @field_validator("wavelet")
    @classmethod
    def _is_known(cls, name: str) -> str:
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
    modes: int = Field(4, ge=1, le=32)
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
    max_iterations: int = Field(
        500, ge=2, description="iterates, the start being the first: one update fewer, as vmdpy counts"
    )
