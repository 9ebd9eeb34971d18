import numpy as np
import pytest
from arch.bootstrap import MCS
from scipy import signal

from polyscale.evaluation.bootstrap import Bootstrap
from polyscale.evaluation.confidence_set import model_confidence_set
from polyscale.market.errors import DataError

SETUP = Bootstrap(10, num_draws=500, seed=3)


def losses(num=800, means=(1.0, 1.0, 1.3), seed=0):
    """Dependent losses with a common part, as forecasts of one market have."""
    rng = np.random.default_rng(seed)
    noise = signal.lfilter([1.0], [1.0, -0.5], rng.standard_normal((len(means) + 1, num)), axis=1)
    return {f"m{i}": mean + 2 * noise[-1] + 0.5 * noise[i] for i, mean in enumerate(means)}


def test_a_clearly_worse_forecast_leaves_and_equal_ones_stay():
    found = model_confidence_set(losses(), SETUP)
    assert sorted(found.stay) == ["m0", "m1"]
    assert (found.holds("m0"), found.holds("m2"), found.holds("m9")) == (True, False, None)
    assert found.members[-1].name == "m2"
    assert found.members[-1].p_value < 0.01
    assert found.members[0].p_value == 1.0
    assert found.confidence == 0.90


def test_p_values_are_those_of_arch_under_the_right_names():
    given = losses(means=(1.2, 1.0, 1.1, 1.06), seed=1)
    peer = MCS(np.column_stack(list(given.values())), 0.1, 500, 10, "R", "circular", seed=3)
    peer.compute()
    found = {member.name: member.p_value for member in model_confidence_set(given, SETUP).members}
    assert found == {f"m{i}": p for i, p in peer.pvalues["Pvalue"].items()}


def test_the_order_of_the_forecasts_does_not_matter():
    given = losses(seed=2)
    turned = dict(reversed(given.items()))
    assert model_confidence_set(given, SETUP) == model_confidence_set(turned, SETUP)


def test_more_confidence_keeps_more():
    given = losses(means=(1.0, 1.08, 1.3), seed=5)
    sizes = [len(model_confidence_set(given, SETUP, confidence=c).stay) for c in (0.3, 0.9, 0.9999)]
    assert sizes == sorted(sizes)
    p = {member.name: member.p_value for member in model_confidence_set(given, SETUP).members}
    kept = model_confidence_set(given, SETUP, confidence=0.5)
    assert set(kept.stay) == {name for name, value in p.items() if value > 0.5}


def test_equal_forecasts_stay_together_about_as_often_as_promised():
    """All three are best, so the set should hold all of them in about nine of ten samples."""
    setup = Bootstrap(15, num_draws=300)
    whole = sum(
        len(model_confidence_set(losses(500, (1.0, 1.0, 1.0), seed), setup).stay) == 3 for seed in range(200)
    )
    assert whole / 200 >= 0.82


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "got 0"),
        ({"a": np.arange(90.0)}, "got 1"),
        (
            {"a": np.arange(90.0), "b": np.arange(90.0) + 0.1, "c": np.ones(90)},
            "a and b differ by a constant",
        ),
        ({"a": np.arange(30.0), "b": np.ones(30)}, "30 origins make fewer than 4 blocks of 10"),
    ],
)
def test_where_there_is_no_set_there_is_a_reason(given, reason):
    found = model_confidence_set(given, SETUP)
    assert (found.members, found.stay, found.holds("a")) == ((), (), None)
    assert reason in found.reason


def test_losses_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match="lengths"):
        model_confidence_set({"a": np.ones(90), "b": np.ones(91)}, SETUP)
    with pytest.raises(DataError, match=r"not finite: \['b'\]"):
        model_confidence_set({"a": np.ones(90), "b": np.full(90, np.nan)}, SETUP)
    with pytest.raises(DataError, match="confidence"):
        model_confidence_set(losses(), SETUP, confidence=90.0)
