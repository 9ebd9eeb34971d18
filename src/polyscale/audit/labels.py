"""Are bars of two timeframes labelled by the same end? A bar labelled by its open is known too early.

In: fine and coarse bars of one market. The close of a coarse bar is the close of the fine bar that ends
with it; if they agree only after a shift, one of the two is labelled by another moment than its close.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from polyscale.audit.frames import Frame
from polyscale.audit.inputs import Input, Inputs, read_inputs
from polyscale.audit.outcome import Audit, Finding, Reach, duration
from polyscale.audit.record import Record
from polyscale.audit.rows import Floats
from polyscale.audit.times import IN, check_input, check_wrong_inputs
from polyscale.audit.trial import instant
from polyscale.market.errors import DataError

LABELS: Final = "labels"
_AGREE: Final = 0.9  # of the coarse bars that have a fine one: some may be revised
_MIN_OVERLAP: Final = 3


def check_labels(fine: Frame, coarse: Frame, *, relative: float = 1e-9) -> Audit:
    """Find the shift at which closes of two timeframes agree; any but 0 is a finding.

    Parameters
    ----------
    fine, coarse
        Bars of one market with ``close_time`` and ``close``; of any two timeframes, the longer a multiple.
    relative
        Difference of two closes that is let pass.

    Raises
    ------
    DataError
        If a frame has no ``close``, or if the timeframes do not fit.
    """
    record = Record((IN, LABELS))
    inputs = read_inputs(fine, {"coarse": coarse}, 1, name="fine")
    if not isinstance(inputs, Inputs):
        check_wrong_inputs(inputs, record)
        return record.audit().named("two timeframes")
    for given in inputs.all:
        check_input(given, record)
    small, large = inputs.all
    step, ratio = _steps(small, large)
    shifts = np.array(sorted(range(-ratio, 2 * ratio + 1), key=abs))
    shares = np.array([_share(small, large, int(shift) * step, relative) for shift in shifts])
    record.compared(LABELS, len(large.times), cuts=0)
    record.note(LABELS, f"closes agree in {100 * shares[0]:.4g} % of the bars that both have")
    if shares[0] < _AGREE:
        best = int(shares.argmax())
        _find(small, large, int(shifts[best]) if shares[best] >= _AGREE else None, step, ratio, record)
    return record.audit().named("two timeframes")


def _steps(small: Input, large: Input) -> tuple[int, int]:
    """Length of a fine bar in microseconds, and how many make a coarse one."""
    for given in (small, large):
        if "close" not in given.columns:
            raise DataError(f"audit: {given.name} bars must have a column close, got {given.columns}")
        if len(given.times) < _MIN_OVERLAP:
            raise DataError(f"audit: {given.name} must have >= {_MIN_OVERLAP} bars, got {len(given.times)}")
    step, length = (int(np.median(np.diff(given.times))) for given in (small, large))
    if step <= 0 or length % step or length == step:
        raise DataError(
            f"audit: coarse bars must be a whole multiple of fine ones, got {duration(length // 1_000)} and "
            f"{duration(step // 1_000)}"
        )
    return step, length // step


def _share(small: Input, large: Input, shift: int, relative: float) -> float:
    """Of the coarse bars that have a fine one at their time + shift: how many have the same close."""
    index = np.searchsorted(small.times, large.times + shift)
    index = np.minimum(index, len(small.times) - 1)
    both = small.times[index] == large.times + shift
    if both.sum() < _MIN_OVERLAP:
        return 0.0
    fine, coarse = _closes(small)[index[both]], _closes(large)[both]
    return float(np.isclose(fine, coarse, rtol=relative, atol=0).mean())


def _closes(given: Input) -> Floats:
    return given.frame["close"].cast(pl.Float64).to_numpy()


def _find(small: Input, large: Input, shift: int | None, step: int, ratio: int, record: Record) -> None:
    """Say whose label is wrong, as far as a shift tells."""
    first = instant(large.times[0])
    if shift is None:
        note = (
            f"closes agree at no shift of {-ratio} to {2 * ratio} fine bars: not one market, or not both bars"
        )
        record.find(Finding(LABELS, "coarse.close", first, None, note=note))
        return
    who, why = {
        ratio: ("coarse", "coarse bars are labelled by their open"),
        -1: ("fine", "fine bars are labelled by their open"),
        ratio - 1: ("both", "both are labelled by their open"),
    }.get(
        shift, ("coarse" if shift > 0 else "fine", "one of them is labelled by another moment than its close")
    )
    reach = Reach(abs(shift) * step // 1_000, abs(shift))
    note = f"closes agree only when the coarse times are moved by {shift:+d} fine bars: {why}"
    record.find(Finding(LABELS, f"{who}.close_time", first, None, source="close", reach=reach, note=note))
