"""The scorecard in plain words, and the one rule by which an edge may be claimed.

In: a `Scorecard`, and what the money did. Out: sentences. An edge is claimed only where there are enough
labels that do not overlap and the interval, adjusted for the number of horizons, is clear of zero.
"""

from __future__ import annotations

from polyscale.evaluation.bootstrap import Interval
from polyscale.evaluation.direction import DirectionScore
from polyscale.evaluation.scorecard import HorizonScore, Scorecard
from polyscale.evaluation.volatility import BaselineScore

_RULING = ("base", "log-HAR")  # the baselines that a sentence on volatility names


def has_edge(scorecard: Scorecard) -> dict[str, bool]:
    """Whether an edge is shown, per kind and horizon: keys such as ``volatility 1h``, ``direction 1d``.

    Volatility: the network's QLIKE is below that of every baseline. Direction: the hit rate is above one half
    and above the better of always up and always down. Both by the adjusted interval and with at least
    ``min_independent`` labels that do not overlap.
    """
    edges = {}
    for score in scorecard.horizons:
        enough = score.num_independent >= scorecard.min_independent
        edges[f"volatility {score.horizon}"] = enough and _beats_all_baselines(score)
        edges[f"direction {score.horizon}"] = enough and _beats_constant(score.direction)
    return edges


def verdict(
    scorecard: Scorecard,
    strategy_return: float | None = None,
    hold_return: float | None = None,
    costs: float | None = None,
) -> list[str]:
    """Say what the forecast was worth: first the whole in one sentence, then each claim with its figures.

    Parameters
    ----------
    scorecard
        Of the test period.
    strategy_return, hold_return
        Total returns after costs, as fractions; without them nothing is said of money.
    costs
        All costs of the strategy as a fraction of the starting equity.
    """
    edges = has_edge(scorecard)
    sentences = [_summary(scorecard, edges)]
    sentences += [_volatility(score, scorecard, edges) for score in scorecard.horizons]
    sentences += [_direction(score, scorecard, edges) for score in scorecard.horizons]
    sentences += _calibration(scorecard)
    if strategy_return is not None and hold_return is not None:
        directed = any(edge for name, edge in edges.items() if name.startswith("direction"))
        sentences.append(_money(strategy_return, hold_return, costs, directed=directed))
    return sentences


def _beats_all_baselines(score: HorizonScore) -> bool:
    baselines = score.volatility.baselines if score.volatility else ()
    return bool(baselines) and all(baseline.difference.adjusted.below(0.0) for baseline in baselines)


def _beats_constant(direction: DirectionScore | None) -> bool:
    return direction is not None and direction.hit_rate_adjusted.above(direction.constant_hit_rate)


def _summary(scorecard: Scorecard, edges: dict[str, bool]) -> str:
    parts = []
    for kind in ("volatility", "direction"):
        shown = [str(s.horizon) for s in scorecard.horizons if edges[f"{kind} {s.horizon}"]]
        parts.append(f"an edge in {kind} at {', '.join(shown)}" if shown else f"no edge in {kind}")
    return (
        f"The test shows {parts[0]} and {parts[1]}. A claim needs {scorecard.min_independent} independent "
        f"labels and an interval clear of zero at {100 * scorecard.adjusted_confidence:.1f} %, so that "
        f"the claims of one kind hold together at all {len(scorecard.horizons)} horizons at "
        f"{100 * scorecard.confidence:.0f} %; the intervals below are those."
    )


def _volatility(score: HorizonScore, scorecard: Scorecard, edges: dict[str, bool]) -> str:
    head = f"Volatility, {score.horizon} ahead: "
    if score.volatility is None:
        return f"{head}not judged, {score.reason}."
    named = [b for b in score.volatility.baselines if b.name in _RULING] or list(score.volatility.baselines)
    against = "; ".join(_against(baseline) for baseline in named) or "no baseline beside it"
    edge = edges[f"volatility {score.horizon}"]
    return (
        f"{head}{'an edge is shown' if edge else 'no edge shown'}. "
        f"QLIKE {score.volatility.qlike.mean:.4f}; {against}. {_labels(score, scorecard)}"
    )


def _against(baseline: BaselineScore) -> str:
    change = "" if baseline.ratio is None else f"{_signed(100 * (baseline.ratio - 1), 1)} %, "
    return (
        f"against {baseline.qlike.mean:.4f} of {baseline.name} "
        f"({change}difference {_spread(baseline.difference.adjusted, 1.0, 4, signed=True)})"
    )


def _direction(score: HorizonScore, scorecard: Scorecard, edges: dict[str, bool]) -> str:
    head, direction = f"Direction, {score.horizon} ahead: ", score.direction
    if direction is None:
        return f"{head}not judged, {score.reason}."
    if direction.reliability and all(each.mean_probability == 0.5 for each in direction.reliability):
        return (
            f"{head}no side is taken. The probability of up is one half throughout: validation showed "
            f"nothing that could be known. {_labels(score, scorecard)}"
        )
    edge = edges[f"direction {score.horizon}"]
    always = "up" if direction.share_up >= 0.5 else "down"
    hits = _spread(direction.hit_rate_adjusted, 100.0, 1)
    return (
        f"{head}{'an edge is shown' if edge else 'no edge shown'}. "
        f"Right in {hits} % of cases, always saying {always} in {100 * direction.constant_hit_rate:.1f} %; "
        f"Brier score {direction.brier.mean:.4f}, a coin's 0.2500. "
        f"{_labels(score, scorecard)}"
    )


def _labels(score: HorizonScore, scorecard: Scorecard) -> str:
    counts = f"{score.num_origins:,} origins, {score.num_independent:,} independent"
    if score.num_independent < scorecard.min_independent:
        return f"{counts}: too few for a claim."
    return f"{counts}."


def _calibration(scorecard: Scorecard) -> list[str]:
    held: dict[float, list[str]] = {}
    for score in scorecard.horizons:
        for coverage in score.quantiles.coverage if score.quantiles else ():
            share = f"{100 * coverage.observed.mean:.1f} % at {score.horizon}"
            held.setdefault(coverage.nominal, []).append(share)
    parts = [f"the central {100 * level:.0f} % interval held {', '.join(held[level])}" for level in held]
    return [f"Calibration: {'; '.join(parts)}."] if parts else []


def _money(strategy: float, hold: float, costs: float | None, *, directed: bool) -> str:
    paid = "" if costs is None else f", after costs of {100 * costs:.2f} % of the starting equity"
    if strategy == 0.0 and costs == 0.0:
        lesson = "It did not trade: no forecast was sure enough to pay its costs."
    elif strategy <= hold:
        lesson = "Trading on this forecast was not worth it here."
    elif directed:
        lesson = "It came out ahead, but one period is one draw, not a proof."
    else:
        lesson = "It came out ahead, but with no edge in direction that is exposure or luck, not skill."
    return (
        f"Money: the strategy returned {_signed(100 * strategy, 2)} %{paid}; buying and holding "
        f"{_signed(100 * hold, 2)} %. {lesson}"
    )


def _spread(interval: Interval, unit: float, digits: int, *, signed: bool = False) -> str:
    def number(value: float) -> str:
        return _signed(unit * value, digits) if signed else f"{unit * value:.{digits}f}"

    if interval.low is None or interval.high is None:
        return f"{number(interval.mean)} [no interval]"
    return f"{number(interval.mean)} [{number(interval.low)}, {number(interval.high)}]"


def _signed(value: float, digits: int) -> str:
    """Return a number with its sign, the minus as it is typeset; zero has none."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0.0 else ("−" if value < 0 else "+") + text
