"""What a scale is: a timeframe, where its rows come from, and how many of them the network sees.

Beside it, how a series is taken apart into bands: by a wavelet filter.
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
