"""Features of the bands of log closes: wavelet details and trend, variational modes.

In: bars of a scale. Out: features per band, in the unit of the symbol's own volatility or of the window. A
scale whose source is ``wavelet`` or ``vmd`` has these rows and no others; the default decompositions are in
the catalogue.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from polyscale.features.feature import Feature, Formula
from polyscale.features.inputs import USUAL_BARS, Inputs, log_volatility
from polyscale.features.windows import change
from polyscale.scales.settings import ScaleSettings, Source, VmdSettings, WaveletSettings
from polyscale.scales.vmd import VmdRows, rolling_vmd
from polyscale.scales.wavelet import modwt, reach

Floats = NDArray[np.float64]
_WARM: Final = USUAL_BARS + 1
_ENERGY_FLOOR: Final = 1e-6  # of the window's variance


def band_features(scale: ScaleSettings) -> tuple[Feature, ...]:
    """The features of a scale's bands; all of the decomposition's, or those that the scale names."""
    if scale.source is Source.WAVELET:
        by_band = wavelet_features(scale.wavelet or WaveletSettings())
    else:
        by_band = vmd_features(scale.vmd or VmdSettings())
    return tuple(feature for band in scale.bands or by_band for feature in by_band[band])


def wavelet_features(settings: WaveletSettings) -> dict[str, tuple[Feature, ...]]:
    """Features by band: ``detail_1`` (finest) ... and ``trend``."""
    what = f"{settings.wavelet}, {settings.levels} levels, causal"
    found: dict[str, tuple[Feature, ...]] = {
        band: (
            Feature(
                f"wavelet_{band}",
                _scaled_detail(settings, level),
                max(reach(settings), _WARM),
                f"detail {level + 1} of log close ({what}) in units of the volatility of {USUAL_BARS} bars",
                "volatility",
            ),
            Feature(
                f"wavelet_energy_{level + 1}",
                _detail_energy(settings, level),
                max(reach(settings) + _energy_bars(level) - 1, _WARM),
                f"log RMS of detail {level + 1} over {_energy_bars(level)} bars, less volatility's",
                "log",
            ),
        )
        for level, band in enumerate(settings.bands[:-1])
    }
    warm = max(reach(settings) + 1, _WARM)
    found["trend"] = (
        Feature(
            "wavelet_trend_slope",
            lambda x: change(_bands(x, settings)[-1], 1) / x.usual_volatility,
            warm,
            f"change of the trend of log close ({what}) over one bar, in units of volatility",
            "volatility",
        ),
        Feature(
            "wavelet_trend_gap",
            lambda x: (x.log_close - _bands(x, settings)[-1]) / x.usual_volatility,
            warm,
            f"log close less its trend ({what}), in units of volatility: the sum of the details",
            "volatility",
        ),
    )
    return found


def _bands(x: Inputs, settings: WaveletSettings) -> Floats:
    return x.shared(settings, lambda: modwt(x.log_close, settings))


def _energy_bars(level: int) -> int:
    """Two periods of the band and more."""
    return int(8 * 2**level)


def _scaled_detail(settings: WaveletSettings, level: int) -> Formula:
    return lambda x: _bands(x, settings)[level] / x.usual_volatility


def _detail_energy(settings: WaveletSettings, level: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        return log_volatility(_bands(x, settings)[level] ** 2, _energy_bars(level)) - x.usual_log_volatility

    return formula


def vmd_features(settings: VmdSettings) -> dict[str, tuple[Feature, ...]]:
    """Features by band: ``mode_1`` (lowest frequency) ..."""
    warm = settings.window + settings.every - 1
    what = f"of the log closes of {settings.window} bars (VMD, {settings.modes} modes)"
    return {
        f"mode_{k + 1}": (
            Feature(
                f"vmd_mode_{k + 1}",
                _value(settings, k),
                warm,
                f"last value of mode {k + 1} {what}",
                "sd of window",
            ),
            Feature(
                f"vmd_slope_{k + 1}",
                _slope(settings, k),
                warm,
                f"last change of mode {k + 1} {what}",
                "sd of window",
            ),
            Feature(
                f"vmd_energy_{k + 1}",
                _energy(settings, k),
                warm,
                f"log of the share of variance in mode {k + 1} {what}, floored at 1e-6",
                "log",
            ),
            Feature(
                f"vmd_frequency_{k + 1}",
                _frequency(settings, k),
                warm,
                f"centre frequency of mode {k + 1} {what}",
                "cycles per bar",
            ),
        )
        for k in range(settings.modes)
    }


def _modes(x: Inputs, settings: VmdSettings) -> VmdRows:
    return x.shared(settings, lambda: rolling_vmd(x.log_close, settings, rows=_rows(x, settings.every)))


def _rows(x: Inputs, every: int) -> NDArray[np.int64]:
    """Rows at which modes are computed: by the clock, so that history that begins later has the same ones."""
    return np.flatnonzero(_since(x, every) == 0)


def _since(x: Inputs, every: int) -> NDArray[np.int64]:
    """Bars since the last one at which modes were computed."""
    return (x.time_ms - x.timeframe.offset_ms) // x.timeframe.ms % every


def _held(x: Inputs, values: Floats, every: int) -> Floats:
    """The values of the last row at which they were computed."""
    rows = np.arange(len(values)) - _since(x, every)
    return np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)


def _value(settings: VmdSettings, k: int) -> Formula:
    return lambda x: _held(x, _modes(x, settings).value[:, k], settings.every)


def _slope(settings: VmdSettings, k: int) -> Formula:
    return lambda x: _held(x, _modes(x, settings).slope[:, k], settings.every)


def _energy(settings: VmdSettings, k: int) -> Formula:
    return lambda x: _held(x, np.log(_modes(x, settings).energy[:, k] + _ENERGY_FLOOR), settings.every)


def _frequency(settings: VmdSettings, k: int) -> Formula:
    return lambda x: _held(x, _modes(x, settings).frequency[:, k], settings.every)


WAVELET: Final = tuple(f for features in wavelet_features(WaveletSettings()).values() for f in features)
VMD: Final = tuple(f for features in vmd_features(VmdSettings()).values() for f in features)
