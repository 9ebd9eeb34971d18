import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from polyscale.evaluation.bootstrap import Bootstrap, Interval, block_length
from polyscale.evaluation.claims import NUM_KINDS, Evidence, claims, evidence_of, family_level, holm
from polyscale.evaluation.comparison import DieboldMariano, Difference, Sampling, difference
from polyscale.evaluation.scorecard import score
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.verdict import has_edge
from polyscale.market.errors import DataError
from tests.evaluation.market import scored_inputs

SETTINGS = EvaluationSettings(num_bootstrap=1000)


def told(p, high=-0.1, level=0.99, reason=""):
    interval = Interval(-1.0, -2.0, high, level)
    return Difference(interval, interval, DieboldMariano(None, None, p, 1, reason))


def false_claims(num_families, symbols, horizons, num, seed):
    """Share of families without any skill in which something is claimed; labels overlap, symbols go together.

    Half of the claims are of losses as volatility has, half of misses against a coin.
    """
    rng, found, num_claims = np.random.default_rng(seed), 0, 2 * symbols * len(horizons)
    for family in range(num_families):
        evidence = {}
        for h in horizons:
            common = rng.standard_normal(num + h - 1)
            setup = Bootstrap(block_length(num, h), num_draws=2000, seed=family)
            sampling = Sampling(h, setup, family_level(0.95, num_claims))
            for i in range(symbols):
                own = np.convolve(0.6 * common + 0.8 * rng.standard_normal(common.size), np.ones(h), "valid")
                other = np.convolve(rng.standard_normal(common.size), np.ones(h), "valid")
                loss = difference(own**2, other**2, sampling)
                hit = (own > 0) == (other > 0)
                misses = difference(1.0 - hit, rng.permutation(np.arange(num) % 2).astype(float), sampling)
                evidence[f"volatility {i} {h}"] = Evidence((loss,), num // h)
                evidence[f"direction {i} {h}"] = Evidence((misses,), num // h)
        found += any(claim.shown for claim in claims(evidence, 0.95, 50))
    return found / num_families


def test_holm_is_that_of_statsmodels():
    p = np.random.default_rng(0).beta(0.3, 3, 25)
    got = holm({str(i): value for i, value in enumerate(p)})
    np.testing.assert_allclose(list(got.values()), multipletests(p, method="holm")[1])


def test_a_missing_test_stays_missing_and_counts():
    assert holm({"a": 0.01, "b": None, "c": 0.02}) == {"a": pytest.approx(0.03), "b": None, "c": 0.04}
    assert holm({}) == {}


def test_bonferroni_splits_the_chance_of_an_error():
    assert family_level(0.95, 10) == pytest.approx(0.995)
    for confidence, num in ((1.0, 3), (0.95, 0)):
        with pytest.raises(DataError, match="claims >= 1"):
            family_level(confidence, num)


def test_each_condition_of_a_claim_has_its_reason():
    evidence = {
        "clear": Evidence((told(1e-4), told(1e-3)), 200),
        "one rival unbeaten": Evidence((told(1e-4), told(0.4)), 200),
        "interval": Evidence((told(1e-4, high=0.1),), 200),
        "few": Evidence((told(1e-4),), 20),
        "missing": Evidence((told(1e-4), told(None, reason="the two are the same")), 200),
    }
    found = {claim.name: claim for claim in claims(evidence, 0.95, 100)}
    assert [name for name, claim in found.items() if claim.shown] == ["clear"]
    assert found["clear"].p_value == 1e-3
    assert found["one rival unbeaten"].reason == "the adjusted p-value is 0.800"
    assert "holds zero" in found["interval"].reason
    assert "20 independent" in found["few"].reason
    assert found["missing"].reason == "the two are the same"
    assert claims({"alone": Evidence((), 200)}, 0.95, 100)[0].reason == "nothing to compare with"


def test_intervals_too_narrow_for_so_many_claims_are_refused():
    evidence = {str(i): Evidence((told(1e-6),), 200) for i in range(6)}
    with pytest.raises(DataError, match=r"6 claims need intervals at the level 0\.991667"):
        claims(evidence, 0.95, 100)


def test_scorecards_of_many_symbols_are_judged_together():
    cards = {
        name: score(
            **scored_inputs(base_noise=noise, seed=i), settings=SETTINGS, claims_per_horizon=2 * NUM_KINDS
        )
        for i, (name, noise) in enumerate({"GOOD": 0.4, "EVEN": 0.1}.items())
    }
    evidence = evidence_of(cards)
    assert len(evidence) == 8
    found = {claim.name: claim.shown for claim in claims(evidence, 0.95, 100)}
    assert [name for name, shown in found.items() if shown] == ["volatility GOOD 1h", "volatility GOOD 4h"]
    assert has_edge(cards["GOOD"])["volatility 1h"]


def test_scorecards_that_were_not_made_for_a_family_are_refused():
    cards = {name: score(**scored_inputs(300), settings=SETTINGS) for name in ("A", "B")}
    with pytest.raises(DataError, match="claims_per_horizon"):
        claims(evidence_of(cards), 0.95, 100)
    with pytest.raises(DataError, match="got 0"):
        score(**scored_inputs(300), settings=SETTINGS, claims_per_horizon=0)


def test_a_price_without_direction_is_no_claim():
    inputs = scored_inputs(300)
    inputs["returns"][:] = 0.0
    evidence = evidence_of({"A": score(**inputs, settings=SETTINGS, claims_per_horizon=2)})
    found = {claim.name: claim for claim in claims(evidence, 0.95, 10)}
    assert found["direction A 1h"].reason == "nothing to compare with"


def test_few_families_without_skill_claim_anything():
    assert false_claims(60, symbols=2, horizons=(1, 4), num=600, seed=1) <= 0.10


@pytest.mark.slow
def test_a_false_claim_among_thirty_is_as_rare_as_promised():
    """Five symbols, three horizons, two kinds, 90 days of hours: in at most one family of twenty."""
    assert false_claims(300, symbols=5, horizons=(1, 4, 24), num=2160, seed=2) <= 0.075
