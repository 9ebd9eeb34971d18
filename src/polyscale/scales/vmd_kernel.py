"""The arithmetic of variational modes, compiled: windows standardised, split, and read at their end.

In and out: plain float64 arrays, for `polyscale.scales.vmd`, which says what they mean. What makes it fast:

- The window is mirrored by half on both sides, as in vmdpy. The mirrored signal is even about the middle
  between two samples, so its spectrum is a known phase times the real DCT-II of the window, and all that is
  done to it keeps that phase. The whole iteration runs on N real numbers instead of 2 N complex ones.
- One pass per mode does filter, residual, centre frequency and stop rule. Its division and its sums become
  vector instructions, provided that sums may be regrouped and that a zero divisor raises nothing: hence the
  flags.
- Two iterates are kept, not all: vmdpy returns the one before the last.
- Of a window only its last two samples are wanted: two sums over the spectrum, and no transform back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_REGROUP: Final = {"reassoc", "contract", "nsz"}  # not nnan, ninf: what diverges must be seen
_SPACING: Final = float(np.spacing(1.0))  # vmdpy adds it to the change


class Problem(NamedTuple):
    """What is the same for every window."""

    alpha: float
    tau: float
    tol: float
    max_iterations: int
    hold_dc: bool


class Ending(NamedTuple):
    """Weights [N] over a mode's spectrum, see `polyscale.scales.vmd._ending`."""

    value: Floats
    slope: Floats
    energy: Floats  # of squares
    cross: Floats  # times the last bin: the part of the energy that the Nyquist bin shares with the others


@numba.njit(nogil=True, cache=True)
def standardise(values: Floats, ends: Ints, windows: Floats) -> Floats:
    """Write (x - mean) / sd of the windows that end at the rows ``ends`` [B]; give their sd [B].

    ``windows`` is [at least B, N] of zeros. A window stays zero where its sd is 0 (flat) or NaN (a value in
    it is missing, or it begins before the first row).
    """
    size = windows.shape[1]
    sds = np.full(len(ends), np.nan)
    for place in range(len(ends)):
        first = ends[place] + 1 - size
        if first < 0:
            continue
        mean, sd = moments(values[first : first + size])
        sds[place] = sd
        if sd > 0.0:
            for sample in range(size):
                windows[place, sample] = (values[first + sample] - mean) / sd
    return sds


@numba.njit(nogil=True, cache=True)
def moments(window: Floats) -> tuple[float, float]:
    """Mean and sd; sd exactly 0 if all values are equal, NaN if one is not finite."""
    lowest, highest = window.min(), window.max()
    if lowest == highest:
        return lowest, 0.0 if np.isfinite(lowest) else np.nan
    mean, spread = window.mean(), highest - lowest
    sd = spread * np.sqrt((((window - mean) / spread) ** 2).mean())  # squares of tiny prices would vanish
    return mean, sd if np.isfinite(sd) else np.nan


@numba.njit(nogil=True, cache=True)
def describe(
    spectra: Floats, sds: Floats, start: Floats, problem: Problem, ending: Ending, out: Floats
) -> Ints:
    """Split windows and read each mode at its end.

    Parameters
    ----------
    spectra
        [B, N]: DCT-II of the standardised windows.
    sds
        [B], from `standardise`: where it is NaN nothing is written, where it is 0 the modes are zero.
    start
        [K] centre frequencies at the start.
    problem, ending
        What to solve, and how to read a mode.
    out
        [B, 4, K], written to: value, slope, energy and frequency, modes sorted by frequency.

    Returns
    -------
    numpy.ndarray
        [B] updates made; 0 where there was nothing to split.
    """
    num_modes, size = len(start), spectra.shape[1]
    modes, centres = np.empty((2, num_modes, size)), np.empty((2, num_modes))
    iterations = np.zeros(len(sds), np.int64)
    for place in range(len(sds)):
        if np.isnan(sds[place]):
            continue
        if sds[place] == 0.0:
            out[place, :3], out[place, 3] = 0.0, np.sort(start)
            continue
        centres[0] = start
        iterations[place] = count = solve(spectra[place], problem, modes, centres)
        kept = (count - 1) % 2
        order = np.argsort(centres[kept])
        for rank in range(num_modes):
            mode = modes[kept, order[rank]]
            out[place, 0, rank], out[place, 1, rank], out[place, 2, rank] = _read(mode, ending)
            out[place, 3, rank] = centres[kept, order[rank]]
        if not np.isfinite(out[place]).all():
            out[place] = np.nan
    return iterations


@numba.njit(nogil=True, cache=True, fastmath=_REGROUP, error_model="numpy")
def solve(spectrum: Floats, problem: Problem, modes: Floats, centres: Floats) -> int:
    """Alternate between modes and centre frequencies until they settle; give the number n of updates.

    Parameters
    ----------
    spectrum
        [N]: DCT-II of the window; bin j is at j / (2 N) cycles per bar.
    problem
        What to solve.
    modes
        [2, K, N], written to: spectra of iterate i are in ``modes[i % 2]``. vmdpy's answer is iterate n - 1.
    centres
        [2, K], likewise; the start is read from ``centres[0]``.
    """
    num_modes, size = modes.shape[1:]
    modes[0] = 0.0
    frequencies = np.arange(size) / (2 * size)
    rest, dual = spectrum.copy(), np.zeros(size)  # rest = spectrum - dual / 2 - all modes
    count, change = 0, np.inf
    while change > problem.tol and count < problem.max_iterations - 1:
        now, then = count % 2, (count + 1) % 2
        change = 0.0
        for k in range(num_modes):
            power, moment, moved = _update(
                rest, modes[now, k], modes[then, k], frequencies, problem.alpha, centres[now, k]
            )
            held = (problem.hold_dc and k == 0) or power == 0.0
            centres[then, k] = centres[now, k] if held else moment / power
            change += moved
        if problem.tau > 0.0:
            for j in range(size):  # what all modes lack of the spectrum is rest + dual / 2
                step = problem.tau * (rest[j] + dual[j] / 2.0)
                dual[j] -= step
                rest[j] += step / 2.0
        change = change / (2 * size) + _SPACING
        count += 1
    return count


@numba.njit(nogil=True, cache=True, inline="always")  # a call of its own per mode would cost a half more
def _update(
    rest: Floats, old: Floats, new: Floats, frequencies: Floats, alpha: float, centre: float
) -> tuple[float, float, float]:
    """Filter what the other modes leave of a spectrum; give power, power times frequency, and squared change.

    ``rest`` is kept up to date, so that a later mode sees this one's new state.
    """
    power, moment, moved = 0.0, 0.0, 0.0
    for j in range(len(rest)):
        frequency = frequencies[j]
        distance = frequency - centre
        offered = rest[j] + old[j]
        mode = offered / (1.0 + alpha * distance * distance)
        delta = mode - old[j]
        square = mode * mode
        power += square
        moment += frequency * square
        moved += delta * delta
        new[j] = mode
        rest[j] = offered - mode
    return power, moment, moved


@numba.njit(nogil=True, cache=True, fastmath=_REGROUP)
def _read(mode: Floats, ending: Ending) -> tuple[float, float, float]:
    """Last sample, last minus the one before, and mean square, from a mode's spectrum [N]."""
    value, slope, energy, cross = 0.0, 0.0, 0.0, 0.0
    for j in range(len(mode)):
        value += ending.value[j] * mode[j]
        slope += ending.slope[j] * mode[j]
        energy += ending.energy[j] * mode[j] * mode[j]
        cross += ending.cross[j] * mode[j]
    return value, slope, energy + cross * mode[-1]
