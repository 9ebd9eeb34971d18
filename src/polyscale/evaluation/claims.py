"""What may be claimed of many symbols, horizons and kinds of forecast at once.

In: for each possible claim the paired differences of losses that it rests on. Out: a `Claim` each, such that
the chance of even one false claim among all is about one less the confidence at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from polyscale.evaluation.comparison import Difference
from polyscale.evaluation.scorecard import HorizonScore, Scorecard
from polyscale.market.errors import DataError

NUM_KINDS: Final = 2  # volatility and direction


@dataclass(frozen=True)
class Evidence:
    """What a claim rests on: the forecast less each of its rivals, all to be beaten; negative is better."""

    differences: tuple[Difference, ...]
    num_independent: int  # labels that do not overlap


@dataclass(frozen=True)
class Claim:
    """Whether an edge is shown, among all claims made together; the reason says why not."""

    name: str
    p_value: float | None  # one-sided, of the rival that is hardest to beat; None where a test is missing
    adjusted_p: float | None  # by Holm, for all claims together
    shown: bool
    reason: str = ""


def family_level(confidence: float, num_claims: int) -> float:
    """Level of each of ``num_claims`` intervals that must hold together at ``confidence`` (Bonferroni)."""
    if not 0.0 < confidence < 1.0 or num_claims < 1:
        raise DataError(f"needs confidence between 0 and 1 and claims >= 1, got {confidence}, {num_claims}")
    return 1.0 - (1.0 - confidence) / num_claims


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Adjust p-values for being looked at together (Holm 1979, Scandinavian J. Statistics 6).

    The k-th smallest of m is multiplied by ``m - k + 1`` and raised to the largest before it. No independence
    is asked for. A test that is missing, None, stays None and is counted in m: that it failed may itself
    depend on the data.
    """
    ordered = sorted((p, name) for name, p in p_values.items() if p is not None)
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for k, (p, name) in enumerate(ordered):
        highest = max(highest, min(1.0, (len(p_values) - k) * p))
        adjusted[name] = highest
    return adjusted


def claims(evidence: Mapping[str, Evidence], confidence: float, min_independent: int) -> tuple[Claim, ...]:
    """Judge all claims together: one is shown where three things hold.

    There are at least ``min_independent`` labels; the Diebold-Mariano p-value, adjusted by Holm, is at most
    ``1 - confidence``; and the adjusted interval of each difference lies below zero. Far out in its tail the
    p-value alone is too sure of overlapping labels: at 24 origins a label and 2160 origins it is below 0.0017
    in 0.6 % of samples without skill, the interval in 0.1 %. Of 300 families of thirty claims without skill
    (five symbols, two kinds, labels of 1, 4 and 24 origins) 2 % had a false one.

    Parameters
    ----------
    evidence
        By name, everything that might have been claimed, not only what came out well.
    confidence
        That no claim is false.
    min_independent
        Labels that do not overlap, below which nothing is claimed.

    Raises
    ------
    DataError
        If an adjusted interval is of a lower level than so many claims need (`family_level`).
    """
    needed = family_level(confidence, max(1, len(evidence)))
    for name, given in evidence.items():
        level = min((d.adjusted.level for d in given.differences), default=1.0)
        if level < needed - 1e-12:
            raise DataError(
                f"{len(evidence)} claims need intervals at the level {needed:.6f}, got {level:.6f} "
                f"for {name}; score with claims_per_horizon = symbols times kinds"
            )
    p_values = {name: _p_value(given) for name, given in evidence.items()}
    adjusted = holm(p_values)
    found = []
    for name, given in evidence.items():
        reason = _why_not(given, adjusted[name], 1.0 - confidence, min_independent)
        found.append(Claim(name, p_values[name], adjusted[name], not reason, reason))
    return tuple(found)


def evidence_of(scorecards: Mapping[str, Scorecard]) -> dict[str, Evidence]:
    """Collect what the scorecards of many symbols might claim: keys such as ``volatility BTCUSDT 1h``.

    Volatility must beat every baseline, direction the better of always up and always down, as in
    `polyscale.evaluation.verdict.has_edge`.
    """
    found = {}
    for symbol, card in scorecards.items():
        for score in card.horizons:
            found[f"volatility {symbol} {score.horizon}"] = _volatility(score)
            found[f"direction {symbol} {score.horizon}"] = _direction(score)
    return found


def _p_value(given: Evidence) -> float | None:
    """Return the largest of all rivals: to beat them all each must be beaten (Berger 1982)."""
    p_values = [d.test.p_one_sided for d in given.differences]
    known = [p for p in p_values if p is not None]
    return max(known) if known and len(known) == len(p_values) else None


def _why_not(given: Evidence, adjusted_p: float | None, allowed: float, min_independent: int) -> str:
    """Return the first reason against a claim, or nothing."""
    if not given.differences:
        return "nothing to compare with"
    if given.num_independent < min_independent:
        return f"{given.num_independent} independent labels are fewer than {min_independent}"
    if adjusted_p is None:
        return next(d.test.reason for d in given.differences if d.test.p_one_sided is None)
    if adjusted_p > allowed:
        return f"the adjusted p-value is {adjusted_p:.3f}"
    if not all(d.adjusted.below(0.0) for d in given.differences):
        return "the adjusted interval of the difference holds zero"
    return ""


def _volatility(score: HorizonScore) -> Evidence:
    baselines = score.volatility.baselines if score.volatility else ()
    return Evidence(tuple(baseline.difference for baseline in baselines), score.num_independent)


def _direction(score: HorizonScore) -> Evidence:
    if score.direction is None:
        return Evidence((), score.num_independent)
    return Evidence((score.direction.misses_less_constant,), score.direction.num_independent)
