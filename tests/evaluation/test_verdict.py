import numpy as np
import pytest

from polyscale.evaluation.scorecard import score
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.verdict import has_edge, verdict
from tests.evaluation.market import scored_inputs

SETTINGS = EvaluationSettings(num_bootstrap=500)


def card(settings=SETTINGS, **market):
    return score(**scored_inputs(**market), settings=settings)


def test_an_edge_in_volatility_is_claimed_where_it_is():
    edges = has_edge(card())
    assert edges["volatility 1h"]
    assert edges["volatility 4h"]
    assert not edges["direction 1h"]


def test_no_edge_is_claimed_for_a_network_that_equals_its_base():
    found = [has_edge(card(network_noise=0.3, base_noise=0.3, num=500, seed=s)) for s in range(20)]
    assert sum(any(edges.values()) for edges in found) <= 2


def test_losing_to_one_baseline_is_no_edge():
    inputs = scored_inputs()
    truth = inputs["log_variance"] + np.random.default_rng(0).normal(0, 0.01, (1200, 2))
    inputs["baselines"] |= {"log-HAR": truth}
    assert not has_edge(score(**inputs, settings=SETTINGS))["volatility 1h"]


def test_too_few_independent_labels_are_no_edge_and_the_verdict_says_why():
    few = card(num=200)
    assert has_edge(few)["volatility 1h"]
    assert not has_edge(few)["volatility 4h"]
    sentence = next(s for s in verdict(few) if s.startswith("Volatility, 4h"))
    assert "no edge shown" in sentence
    assert "50 independent: too few for a claim" in sentence


def test_skill_in_direction_is_claimed_but_a_drift_is_not():
    assert has_edge(card(skill=0.1))["direction 1h"] is False  # always saying up hits as often
    inputs = scored_inputs(skill=0.0)
    prob = np.where(inputs["returns"] > 0, 0.6, 0.4)
    prob[::3] = 1 - prob[::3]
    object.__setattr__(inputs["forecast"], "prob_up", prob)
    assert has_edge(score(**inputs, settings=SETTINGS))["direction 1h"] is True


def test_a_probability_of_one_half_throughout_takes_no_side():
    inputs = scored_inputs()
    object.__setattr__(inputs["forecast"], "prob_up", np.full_like(inputs["returns"], 0.5))
    sentence = next(s for s in verdict(score(**inputs, settings=SETTINGS)) if s.startswith("Direction, 1h"))
    assert "no side is taken" in sentence
    assert "no side is taken" not in " ".join(verdict(card()))


def test_no_baselines_no_claim():
    edges = has_edge(score(**scored_inputs() | {"baselines": {}}, settings=SETTINGS))
    assert not any(edges.values())


def test_verdict_begins_with_the_whole_and_gives_figures_with_intervals():
    sentences = verdict(card(), strategy_return=-0.012, hold_return=0.03, costs=0.004)
    assert "an edge in volatility at 1h, 4h and no edge in direction" in sentences[0]
    assert "97.5 %" in sentences[0]
    assert "of base (−" in sentences[1]
    assert "of log-HAR" in sentences[1]
    assert "Money: the strategy returned −1.20 %, after costs of 0.40 %" in sentences[-1]
    assert "+3.00 %" in sentences[-1]
    assert "not worth it" in sentences[-1]


def test_profit_without_an_edge_in_direction_is_called_luck():
    assert "luck" in verdict(card(), 0.10, 0.02, 0.001)[-1]


def test_a_strategy_that_never_traded_is_neither_praised_nor_blamed():
    sentence = verdict(card(), 0.0, -0.2, 0.0)[-1]
    assert "did not trade" in sentence
    assert "luck" not in sentence


def test_a_mean_without_an_interval_is_told_without_one():
    sentence = next(s for s in verdict(card(num=30)) if s.startswith("Volatility, 4h"))
    assert "[no interval]" in sentence
    assert "no edge shown" in sentence


@pytest.mark.parametrize("broken", ["log_variance", "returns"])
def test_a_horizon_without_labels_is_told_in_words(broken):
    inputs = scored_inputs(300)
    inputs[broken][:, 1] = np.nan
    sentences = verdict(score(**inputs, settings=SETTINGS))
    assert (
        "Volatility, 4h ahead: not judged, no origin has both a known label and all baselines." in sentences
    )
