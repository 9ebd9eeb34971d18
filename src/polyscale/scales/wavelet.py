"""A series in bands of rising period, one row per bar: an undecimated wavelet transform that looks back only.

In: values of one grid, NaN where missing. Out: details from fine to coarse and the trend, [levels + 1, T].
Row t depends on the `reach` rows up to t alone. Beside it stands `wavelet_decomposition`, the decimated
transform of one window.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import pywt
from numpy.typing import ArrayLike, NDArray

from polyscale.market.errors import DataError, HistoryError
from polyscale.market.settings import as_config_error
from polyscale.scales.settings import WaveletSettings

Floats = NDArray[np.float64]
_BLOCK: Final = 2_048  # rows that stay in the first cache while all taps pass over them


def modwt(values: Floats, settings: WaveletSettings) -> Floats:
    r"""Take a series apart at every bar; known when: row t at the close of bar t.

    The algorithm à trous: :math:`V_0 = x`, :math:`V_j[t] = \sum_l g[l]\, V_{j-1}[t - 2^{j-1} l]`,
    :math:`detail_j = V_{j-1} - V_j`, :math:`trend = V_J`. The bands of a row therefore sum to its value, to
    rounding, whatever the filter. This is not the additive multi-resolution analysis of Percival and Walden:
    theirs projects the coefficients back with the filter turned round in time, which reads the future. Ours
    pays with delay: a smooth of level j lags by (2^j - 1) times the filter's mean tap.

    Parameters
    ----------
    values
        [T]; in any unit, the bands have the same. What is not finite counts as missing.
    settings
        Filter and levels.

    Returns
    -------
    numpy.ndarray
        [levels + 1, T], rows named by ``settings.bands``. NaN in the first ``reach - 1`` columns. After a
        missing value a band is NaN for as long as it reaches back, and then what it would have been without.

    References
    ----------
    Percival and Walden, Wavelet Methods for Time Series Analysis, 2000, chapter 5.
    Shensa, The discrete wavelet transform: wedding the à trous and Mallat algorithms, 1992.
    """
    if values.ndim != 1:
        raise DataError(f"values must be one series [T], got shape {values.shape}; pass one column at a time")
    out = np.empty((settings.levels + 1, len(values)))
    out[0] = np.where(np.isfinite(values), values, np.nan)
    taps = _taps(settings)
    for level in range(settings.levels):
        _smooth(out[level], taps, 2**level, out[level + 1])
    for level in range(settings.levels):
        out[level] -= out[level + 1]
    out[:, : reach(settings) - 1] = np.nan
    return out


def reach(settings: WaveletSettings) -> int:
    """Rows on which a row depends, itself included: (taps - 1) (2^levels - 1) + 1."""
    return (len(_taps(settings)) - 1) * (2**settings.levels - 1) + 1


def wavelet_decomposition(prices: ArrayLike, wavelet: str = "db4", levels: int = 4) -> dict[str, Floats]:
    """The decimated transform of one trailing window, as the chapter has it.

    The coefficients belong to the window as a whole, never to rows of it: there are fewer of them the coarser
    the level, each mixes bars before and after its place, and all of them change when the window moves on. So
    call it on a window that ends at the origin; for one row per bar there is `modwt`.

    Parameters
    ----------
    prices
        [N], the window, oldest first, all finite.
    wavelet, levels
        As in `WaveletSettings`.

    Returns
    -------
    dict
        ``trend`` and ``detail_1`` ... in the chapter's order, which is the reverse of that of `modwt`: here
        ``detail_1`` is the coarsest, ``detail_<levels>`` the finest.

    Raises
    ------
    HistoryError
        If the window is too short for the levels; the coefficients would be made of its mirrored edges.
    DataError
        If they are not one series of numbers, or a price is missing.
    ConfigError
        If there is no such wavelet, or no level.
    """
    with as_config_error():
        settings = WaveletSettings(wavelet=wavelet, levels=levels)
    prices = one_series(prices)
    chosen = pywt.Wavelet(settings.wavelet)
    needed = (chosen.dec_len - 1) * 2**levels
    if len(prices) < needed:
        raise HistoryError(
            f"{levels} levels of {wavelet} need a window of {needed} bars, found {len(prices)}; "
            f"give more bars, fewer levels or a shorter filter"
        )
    if not np.isfinite(prices).all():
        missing = int((~np.isfinite(prices)).sum())
        raise DataError(f"prices of the window must be finite, got {missing} that are not; fill or move it")
    trend, *details = pywt.wavedec(prices, chosen, level=levels)
    return {"trend": trend} | {f"detail_{place}": detail for place, detail in enumerate(details, 1)}


def one_series(prices: ArrayLike) -> Floats:
    """Prices as an array of their own: pandas hands out arrays that cannot be written.

    Raises
    ------
    DataError
        If they are not one series [N] of numbers.
    """
    try:
        series = np.array(prices, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"prices must be one series [N] of numbers: {error}") from error
    if series.ndim != 1:
        raise DataError(f"prices must be one series [N], got shape {series.shape}; pass one column at a time")
    return series


def _taps(settings: WaveletSettings) -> Floats:
    """The low-pass filter, newest bar first, summing to 1.

    Reversed, an orthogonal filter of PyWavelets has its energy first, and so the least delay. Zeros at the
    ends pad biorthogonal filters to the length of their partner: they would only add delay and reach.
    """
    taps = np.trim_zeros(np.array(pywt.Wavelet(settings.wavelet).dec_lo)[::-1])
    return taps / taps.sum()


@numba.njit(nogil=True, cache=True)
def _smooth(values: Floats, taps: Floats, step: int, out: Floats) -> None:
    """Write ``sum_l taps[l] values[t - step l]``; NaN until warm.

    Each row is summed from its own terms, in the same order: nothing is carried from row to row.
    """
    for start in range(0, len(values), _BLOCK):
        stop = min(start + _BLOCK, len(values))
        out[start:stop] = 0.0
        for tap in range(len(taps)):
            back = tap * step
            for t in range(max(start, back), stop):
                out[t] += taps[tap] * values[t - back]
    out[: (len(taps) - 1) * step] = np.nan
