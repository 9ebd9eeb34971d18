"""What is left of a Sharpe ratio once all that was tried is counted, and of the search itself.

In: a `Significance` and the level of the page's intervals. Out: two `Finding`s.
"""

from __future__ import annotations

from polyscale.evaluation.deflated_sharpe import SharpeScore
from polyscale.evaluation.overfitting import Overfitting
from polyscale.evaluation.trading.significance import NOISE
from polyscale.report.finding import Finding, not_asked
from polyscale.report.wording import number, percent

_SHARPE, _SEARCH = "Sharpe ratio, deflated", "Overfitting"


def deflated(sharpe: SharpeScore, level: float) -> Finding:
    """The ratio beside the best that so many trials without skill lead one to expect."""
    if sharpe.sharpe is None or sharpe.expected_max is None or sharpe.deflated is None:
        return not_asked(_SHARPE, sharpe.reason)
    trials = number(sharpe.num_trials, 0)
    told = (
        f"It is {number(sharpe.sharpe, 3)} per day over {number(sharpe.num_periods, 0)} days. The best of "
        f"{trials} trials without skill is expected at {number(sharpe.expected_max, 3)}; the "
        f"probability that the true ratio is above that is {_share(sharpe.deflated)}. "
    )
    if sharpe.deflated > level:
        return Finding(_SHARPE, f"{told}That is more than the best of so many by chance.")
    return Finding(
        _SHARPE,
        f"{told}A claim would need {percent(level, 0)}: it is no more than such a search finds by chance.",
    )


def _share(value: float) -> str:
    """Per cent; what rounds to nothing is not told as nothing."""
    return f"below {percent(0.001)}" if value < 0.001 else percent(value)


def overfitting(found: Overfitting) -> Finding:
    """How often the set that was best in half of the time is below the median in the other half."""
    if found.probability is None:
        return not_asked(_SEARCH, found.reason)
    low, high = NOISE
    told = (
        f"Of {number(found.num_sets, 0)} parameter sets, the best in one half of the time was in the lower "
        f"half of all in the other with a probability of {number(found.probability, 2)}"
    )
    if found.probability_of_loss is not None:
        told += f", and lost money there with {number(found.probability_of_loss, 2)}"
    if found.probability < low:
        meaning = "It is lower than noise usually gives: choosing on the past helped here."
    elif found.probability > high:
        meaning = "It is higher than noise usually gives: what was best did badly afterwards."
    else:
        meaning = "Noise gives this as well: nothing speaks for choosing on the past."
    return Finding(
        _SEARCH,
        f"{told}. {meaning} One such number is noisy: for pure noise it ranges from about {low} to {high}.",
    )
