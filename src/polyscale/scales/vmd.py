"""Variational mode decomposition (VMD) of each trailing window, read at the window's end.

In: values of one grid, NaN where missing. Out: for every mode its last value, slope, energy and centre
frequency, one row per bar. Row t depends on the ``window`` rows up to t alone: each window is standardised
and starts cold. A start from the neighbour's answer saves no iterations, lands in other local optima, and
would make a row depend on all the past.

The numbers are those of vmdpy 0.2 on the same standardised window, with the quirks that change them: it
returns the iterate before the last, and fills the Nyquist bin from the bin below. Two things differ on
purpose: of an odd number of samples the oldest is left out (vmdpy drops the newest, the one that matters),
and modes are sorted by frequency.

The edge error: the window is mirrored at its end, so the last value of a mode is not what the same bar's mode
is in the middle of a window that also sees the 127 bars after it. On log prices of BTC, five-minute bars,
default settings, half of the rows are off by more than 0.19, 0.17, 0.05 and 0.02 sd of the window (modes from
low to high), one in ten by more than 0.65, 0.61, 0.19 and 0.06. Beside the sd of the modes themselves, which
are 0.91, 0.23, 0.07 and 0.04, that is much: but for the trend, a last value tells the mode's size rather than
its course. No past-only method has the two-sided value; the network gets what can be known.

References
----------
Dragomiretskiy and Zosso, Variational mode decomposition, IEEE Transactions on Signal Processing 62, 2014.
Carvalho et al., vmdpy, 2019.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct, idct

from polyscale.market.errors import ConfigError, DataError, HistoryError
from polyscale.market.settings import as_config_error
from polyscale.scales.settings import VmdSettings
from polyscale.scales.vmd_kernel import Ending, Problem, describe, moments, solve, standardise
from polyscale.scales.wavelet import one_series

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_CHUNK: Final = 32  # windows per task: few enough to share out evenly, enough to hide the call
_LANES: Final = 8  # windows that the transform may take side by side
_MIN_WINDOW: Final = 8
_INITS: Final[dict[int, Literal["zero", "uniform", "random"]]] = {0: "zero", 1: "uniform", 2: "random"}


class Modes(NamedTuple):
    """One window taken apart, modes sorted by frequency."""

    modes: Floats  # [K, N]
    frequencies: Floats  # [K], cycles per bar, 0 to 0.5
    iterations: int  # updates made


class VmdRows(NamedTuple):
    """The ends of all windows, modes sorted by frequency; NaN where there is no row."""

    value: Floats  # [T, K], last sample, in sd of the window, from its mean
    slope: Floats  # [T, K], last sample minus the one before
    energy: Floats  # [T, K], mean square over the window; all modes together about 1
    frequency: Floats  # [T, K], cycles per bar, 0 to 0.5
    iterations: Ints  # [T], updates made; 0 where there is no row, and for a flat window


def rolling_vmd(
    values: Floats, settings: VmdSettings, rows: Ints | None = None, threads: int | None = None
) -> VmdRows:
    """Take the trailing window of every row apart; known when: row t at the close of bar t.

    Parameters
    ----------
    values
        [T], as a rule log prices. What is not finite counts as missing.
    settings
        ``window`` is the number of rows that a row depends on (of an odd number, one fewer).
    rows
        Indices of the rows that are wanted; absent: all. A row's numbers do not depend on which others are.
    threads
        Absent: one per core. The numbers do not depend on it.

    Returns
    -------
    VmdRows
        NaN where a row was not wanted, where its window is too short or holds a missing value, and where the
        iteration did not stay finite (with ``tau`` below 4 none was seen). A flat window has zero modes, zero
        energy and the frequencies of the start.

    Raises
    ------
    DataError
        If ``values`` are not one series, or ``rows`` lie outside of it.
    """
    if values.ndim != 1:
        raise DataError(f"values must be one series [T], got shape {values.shape}; pass one column at a time")
    num_rows, size = len(values), settings.window - settings.window % 2
    wanted = np.arange(num_rows) if rows is None else np.asarray(rows, np.int64)
    if wanted.size and (wanted.min() < 0 or wanted.max() >= num_rows):
        raise DataError(
            f"rows must lie in 0 to {num_rows - 1}, got {wanted.min()} to {wanted.max()}; drop those outside"
        )
    series = np.ascontiguousarray(values, np.float64)
    start, problem, ending = _start(settings, size), _problem(settings), _ending(size)
    out = np.full((4, num_rows, settings.modes), np.nan)
    iterations = np.zeros(num_rows, np.int64)

    def fill(chunk: Ints) -> None:
        windows = np.zeros((-(-len(chunk) // _LANES) * _LANES, size))
        sds = standardise(series, chunk, windows)
        found = np.full((len(chunk), 4, settings.modes), np.nan)
        iterations[chunk] = describe(_spectra(windows), sds, start, problem, ending, found)
        out[:, chunk] = found.swapaxes(0, 1)

    chunks = [wanted[first : first + _CHUNK] for first in range(0, len(wanted), _CHUNK)]
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        list(pool.map(fill, chunks))
    return VmdRows(out[0], out[1], out[2], out[3], iterations)


def vmd(window: Floats, settings: VmdSettings, *, standardised: bool = False) -> Modes:
    """Take one window apart; known when: at its last bar, all of it.

    Every sample of every mode depends on the whole window: only the last ones are features of a row.

    Parameters
    ----------
    window
        [N], oldest first, all finite, at least 8. Of an odd number the oldest is left out.
    settings
        What to solve; ``window`` does not matter here.
    standardised
        The modes of (x - mean) / sd, as vmdpy gives them and as `rolling_vmd` reads them, instead of modes in
        the unit of the window.

    Returns
    -------
    Modes
        [K, N]; their sum is about the window: with tau = 0 the noise between the modes' bands is left out.
        The window's mean is in the lowest mode.

    Raises
    ------
    HistoryError, DataError
        If the window is shorter than 8, or a value is missing.
    ConfigError
        If the iteration does not stay finite.
    """
    if window.ndim != 1:
        raise DataError(f"the window must be one series [N], got shape {window.shape}; pass one at a time")
    kept = np.ascontiguousarray(window[len(window) % 2 :], np.float64)
    if len(kept) < _MIN_WINDOW:
        raise HistoryError(f"VMD needs a window of {_MIN_WINDOW} bars, found {len(window)}; give more bars")
    mean, sd = moments(kept)
    if np.isnan(sd):
        missing = int((~np.isfinite(kept)).sum())
        raise DataError(f"values of the window must be finite, got {missing} that are not; fill or move it")
    found = _split(kept, settings)
    if standardised:
        return found
    modes = found.modes * sd
    modes[0] += mean
    return found._replace(modes=modes)


def vmd_decomposition(
    prices: ArrayLike,
    n_modes: int = 4,
    alpha: float = 2_000.0,
    tau: float = 0.0,
    DC: int = 0,  # noqa: N803  (the chapter's name)
    init: int = 1,
    tol: float = 1e-7,
) -> dict[str, Floats]:
    """Take one trailing window apart, with the chapter's names, see `vmd`.

    Departs from the chapter where that is at fault: the window is standardised inside, for ``tol`` is
    absolute and raw log prices would stop too early; modes are sorted by frequency; of an odd window the
    newest sample is kept.

    Parameters
    ----------
    prices
        [N], the window, oldest first.
    n_modes, alpha, tau, DC, tol
        As ``modes``, ``alpha``, ``tau``, ``dc`` and ``tol`` in `VmdSettings`.
    init
        0: frequencies start at zero, 1: spread evenly, 2: drawn (seed 0).

    Returns
    -------
    dict
        ``mode_0`` (the trend, with the mean) to ``mode_<n_modes - 1>``, [N] each, in the prices' unit, and
        ``frequencies`` [n_modes], the last ones (the chapter returned their history).

    Raises
    ------
    HistoryError, DataError
        As `vmd`.
    ConfigError
        If a setting breaks its rule.
    """
    if init not in _INITS:
        raise ConfigError(
            f"init must be 0 (zero), 1 (uniform) or 2 (random), got {init!r}; choose one of them"
        )
    with as_config_error({"modes": "n_modes"}):
        settings = VmdSettings(modes=n_modes, alpha=alpha, tau=tau, dc=bool(DC), init=_INITS[init], tol=tol)
    found = vmd(one_series(prices), settings)
    return {f"mode_{place}": mode for place, mode in enumerate(found.modes)} | {
        "frequencies": found.frequencies
    }


def _split(window: Floats, settings: VmdSettings) -> Modes:
    """Standardised modes of an even window without missing values."""
    size, num_modes = len(window), settings.modes
    windows = np.zeros((_LANES, size))
    sds = standardise(window, np.array([size - 1]), windows)
    modes, centres = np.zeros((2, num_modes, size)), np.zeros((2, num_modes))
    centres[0] = _start(settings, size)
    if sds[0] == 0.0:
        return Modes(modes[0], np.sort(centres[0]), 0)
    count = solve(_spectra(windows)[0], _problem(settings), modes, centres)
    kept = (count - 1) % 2
    if not np.isfinite(centres[kept]).all():
        raise ConfigError(f"tau must leave the iteration finite, got {settings.tau} and it grew; lower it")
    order = np.argsort(centres[kept])
    spectra = modes[kept, order]
    samples = idct(spectra, type=2, axis=1) + np.outer(spectra[:, -1], _nyquist(size))
    return Modes(samples, centres[kept, order], count)


def _spectra(windows: Floats) -> Floats:
    """DCT-II [B, N]; with B a multiple of the lanes every window meets the same instructions."""
    return dct(windows, type=2, axis=1)


def _problem(settings: VmdSettings) -> Problem:
    return Problem(settings.alpha, settings.tau, settings.tol, settings.max_iterations, settings.dc)


def _start(settings: VmdSettings, size: int) -> Floats:
    """Centre frequencies [K] from which every window starts, as vmdpy has them."""
    if settings.init == "zero":
        return np.zeros(settings.modes)
    if settings.init == "uniform":
        return 0.5 / settings.modes * np.arange(settings.modes, dtype=np.float64)
    shares = np.random.default_rng(settings.seed).random(settings.modes)
    start = np.sort(np.exp(np.log(1 / size) + (np.log(0.5) - np.log(1 / size)) * shares))
    if settings.dc:
        start[0] = 0.0
    return start.astype(np.float64)


def _ending(size: int) -> Ending:
    r"""Weights that read the last two samples and the mean square of a mode from its spectrum R.

    :math:`m[n] = (R_0 + 2 \sum_j R_j \cos(\pi j (n + 1/2) / N)) / 2N + q[n] R_{N-1}`, with q the part of the
    Nyquist bin, see `_nyquist`. Cosines are orthogonal over the window, so the mean square is that of R
    (Parseval) plus the products with q.
    """
    bins = np.arange(size)
    twice = np.where(bins == 0, 1.0, 2.0)
    ends = np.array([size - 1, size - 2])
    phases = np.outer(2 * ends + 1, bins) % (4 * size)  # in whole steps, so that the cosine is exact
    weights = twice * np.cos(np.pi / (2 * size) * phases) / (2 * size)
    nyquist = _nyquist(size)
    weights[:, -1] += nyquist[ends]
    energy = twice / (2 * size) ** 2
    energy[-1] += (nyquist**2).mean()
    cross = twice * dct(nyquist, type=2) / (2 * size**2)
    return Ending(weights[0], weights[0] - weights[1], energy, cross)


def _nyquist(size: int) -> Floats:
    """What the last bin adds to the samples [N]: vmdpy copies it, conjugated, to the Nyquist bin."""
    phase = (size - 1) ** 2 % (4 * size)
    samples = np.arange(size) + size // 2
    return np.cos(np.pi / (2 * size) * phase) * (1.0 - 2.0 * (samples % 2)) / (2 * size)
