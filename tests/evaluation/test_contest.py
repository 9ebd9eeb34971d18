import numpy as np
import pytest
from scipy.stats import norm

from polyscale.evaluation.comparison import diebold_mariano
from polyscale.evaluation.contest import Entry, contest
from polyscale.evaluation.crps import crps
from polyscale.evaluation.losses import pinball, qlike
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.market.errors import DataError

LEVELS = (0.1, 0.5, 0.9)
NUM = 1_500
SETTINGS = EvaluationSettings(num_bootstrap=300)


def market(seed=0):
    """Log variances that are partly known, and returns of them."""
    rng = np.random.default_rng(seed)
    known = rng.normal(size=(NUM, 2))
    realised = known + 0.3 * rng.normal(size=(NUM, 2))
    returns = np.exp(realised / 2) * rng.normal(size=(NUM, 2))
    return known, realised, returns


def entry(log_variance):
    return Entry(log_variance, np.exp(log_variance / 2)[..., None] * norm.ppf(LEVELS))


def hold(entries, realised, returns):
    return contest("ours", entries, realised, returns, LEVELS, (1, 4), 1, SETTINGS)


def test_losses_tests_and_set_are_those_of_their_own_functions():
    known, realised, returns = market()
    entries = {"ours": entry(known), "blind": entry(np.zeros_like(known)), "shifted": entry(known + 0.3)}
    realised[5, 0] = np.nan
    entries["blind"].log_variance[7, 0] = np.nan
    found = hold(entries, realised, returns)
    assert found.num_origins == (NUM - 2, NUM)
    rows = np.delete(np.arange(NUM), [5, 7])
    own, other = (qlike(realised[rows, 0], entries[n].log_variance[rows, 0]) for n in ("ours", "blind"))
    blind = found.standings[0]["blind"]
    assert blind.qlike.mean == pytest.approx(other.mean())
    assert blind.qlike.ratio == pytest.approx(own.mean() / other.mean())
    assert blind.qlike.p_value == pytest.approx(diebold_mariano(own, other, 1).p_one_sided)
    p = np.array(LEVELS)
    loss = pinball(returns[:, 1], entries["blind"].quantiles[:, 1], p).mean()
    assert found.standings[1]["blind"].pinball.mean == pytest.approx(loss)
    assert found.standings[0]["ours"].in_confidence_set is True
    assert blind.in_confidence_set is False
    assert found.standings[0]["ours"].qlike.ratio is None


def test_every_loss_is_tested_over_the_origins_that_a_label_spans():
    known, realised, returns = market(4)
    entries = {"ours": entry(known), "near": entry(known + 0.05)}
    found = contest("ours", entries, realised, returns, LEVELS, (2, 20), 1, SETTINGS).standings
    for h, span in enumerate((2, 20)):
        for name, loss in (
            ("qlike", lambda e, h=h: qlike(realised[:, h], e.log_variance[:, h])),
            (
                "pinball",
                lambda e, h=h: pinball(returns[:, h], e.quantiles[:, h], np.array(LEVELS)).mean(axis=1),
            ),
            ("crps", lambda e, h=h: crps(returns[:, h], e.quantiles[:, h], np.array(LEVELS))),
        ):
            wanted = diebold_mariano(loss(entries["ours"]), loss(entries["near"]), span)
            assert getattr(found[h]["near"], name).p_value == pytest.approx(wanted.p_one_sided)


def test_an_origin_counts_where_all_are_known():
    known, realised, returns = market()
    gone = known.copy()
    gone[:100, 1] = np.nan
    entries = {"ours": entry(known), "gone": Entry(gone, entry(known + 0.1).quantiles)}
    assert hold(entries, realised, returns).num_origins == (NUM, NUM - 100)


def test_none_known_is_an_empty_table_and_odd_shapes_are_refused():
    known, realised, returns = market()
    found = hold({"ours": entry(known)}, np.full_like(realised, np.nan), returns)
    assert found.standings == ({}, {})
    with pytest.raises(DataError, match="needs 'ours'"):
        hold({"theirs": entry(known)}, realised, returns)
    with pytest.raises(DataError, match="needs 'ours'"):
        hold({"ours": entry(known[:10])}, realised, returns)
