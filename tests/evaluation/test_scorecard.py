import json

import numpy as np
import pytest
from scipy import stats

from polyscale.evaluation.losses import pinball, qlike
from polyscale.evaluation.scorecard import score
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe
from tests.evaluation.market import LEVELS, scored_inputs

SETTINGS = EvaluationSettings(num_bootstrap=500)
HOUR, FOUR_HOURS = Timeframe(60), Timeframe(240)


def test_losses_are_means_over_the_judged_origins():
    inputs = scored_inputs(300)
    got = score(**inputs, settings=SETTINGS).at(FOUR_HOURS)
    log_forecast = np.log(inputs["forecast"].volatility[:, 1] ** 2 / 48)
    y, base = inputs["log_variance"][:, 1], inputs["baselines"]["base"][:, 1]
    assert got.volatility.qlike.mean == pytest.approx(qlike(y, log_forecast).mean())
    first = got.volatility.baselines[0]
    assert first.name == "base"
    assert first.ratio == pytest.approx(qlike(y, log_forecast).mean() / qlike(y, base).mean())
    assert got.volatility.r2 == pytest.approx(1 - np.square(y - log_forecast).mean() / y.var())
    wanted = pinball(inputs["returns"][:, 1], inputs["forecast"].quantiles[:, 1], np.array(LEVELS)).mean()
    assert got.quantiles.pinball.mean == pytest.approx(wanted)


def test_counts_of_origins_and_of_labels_that_do_not_overlap():
    inputs = scored_inputs(1200)
    inputs["returns"][-4:, 1] = np.nan
    inputs["baselines"]["base"][:6, 1] = np.nan
    card = score(**inputs, settings=SETTINGS)
    hour, four = card.at(HOUR), card.at(FOUR_HOURS)
    assert (hour.num_origins, hour.num_independent, hour.num_unlabelled) == (1200, 1200, 0)
    assert (four.num_origins, four.num_unlabelled, four.num_without_baseline) == (1190, 4, 6)
    assert four.num_independent == 1190 * 12 // 48


def test_horizon_shorter_than_the_step_has_no_more_labels_than_origins():
    inputs = scored_inputs(200) | {"step_bars": 48}
    assert score(**inputs, settings=SETTINGS).at(HOUR).num_independent == 200


def test_a_better_network_is_below_every_baseline_with_its_interval():
    card = score(**scored_inputs(1200), settings=SETTINGS)
    for horizon in card.horizons:
        for baseline in horizon.volatility.baselines:
            assert baseline.difference.adjusted.below(0.0)
            assert baseline.difference.test.p_one_sided < 0.01
            assert baseline.ratio < 1


def test_true_quantiles_hold_what_they_promise():
    quantiles = score(**scored_inputs(4000, network_noise=0.0), settings=SETTINGS).at(HOUR).quantiles
    assert [coverage.nominal for coverage in quantiles.coverage] == [0.95, 0.8]
    for coverage in quantiles.coverage:
        assert coverage.observed.mean == pytest.approx(coverage.nominal, abs=0.02)
    for share in quantiles.levels:
        assert share.observed == pytest.approx(share.level, abs=0.025)
    assert quantiles.difference.interval.mean < 0


def test_direction_leaves_zero_returns_out():
    inputs = scored_inputs(1000, skill=0.1)
    inputs["returns"][:100, 0] = 0.0
    direction = score(**inputs, settings=SETTINGS).at(HOUR).direction
    assert (direction.num_origins, direction.num_zero) == (900, 100)
    assert direction.hit_rate.mean == pytest.approx((inputs["returns"][100:, 0] > 0).mean())
    assert sum(b.count for b in direction.reliability) == 900


def test_reliability_recovers_a_calibrated_probability():
    inputs, rng = scored_inputs(4000), np.random.default_rng(1)
    prob = stats.beta.ppf(rng.random((4000, 2)), 8, 8)
    object.__setattr__(inputs["forecast"], "prob_up", prob)
    inputs["returns"] = np.where(rng.random((4000, 2)) < prob, 0.01, -0.01)
    direction = score(**inputs, settings=SETTINGS).at(HOUR).direction
    assert len(direction.reliability) == 10
    assert direction.calibration_error < 0.03
    for b in direction.reliability:
        assert b.observed_frequency == pytest.approx(b.mean_probability, abs=0.08)
    assert direction.brier_less_coin.interval.below(0.0)


def test_unknown_labels_everywhere_leave_a_reason_instead_of_scores():
    inputs = scored_inputs(200)
    inputs["log_variance"][:, 0] = np.nan
    hour = score(**inputs, settings=SETTINGS).at(HOUR)
    assert (hour.num_origins, hour.volatility, hour.quantiles, hour.direction) == (0, None, None, None)
    assert "no origin" in hour.reason


def test_constant_price_has_no_direction_and_says_so():
    inputs = scored_inputs(200)
    inputs["returns"][:, 0] = 0.0
    hour = score(**inputs, settings=SETTINGS).at(HOUR)
    assert hour.direction is None
    assert "exactly zero" in hour.reason
    assert hour.volatility is not None


def test_to_dict_is_json_without_nan():
    inputs = scored_inputs(60)
    inputs["log_variance"][:, 0] = np.nan
    text = json.dumps(score(**inputs, settings=SETTINGS).to_dict(), allow_nan=False)
    told = json.loads(text)
    assert told["horizons"][1]["horizon"] == "4h"
    assert told["horizons"][1]["volatility"]["qlike"]["low"] is not None
    assert told["horizons"][0]["volatility"] is None


def test_works_without_base_quantiles_and_without_baselines():
    inputs = scored_inputs(200) | {"base_quantiles": None, "baselines": {}}
    hour = score(**inputs, settings=SETTINGS).at(HOUR)
    assert hour.quantiles.difference is None
    assert hour.volatility.baselines == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("returns", np.zeros((3, 2))),
        ("baselines", {"base": np.zeros((3, 2))}),
        ("base_quantiles", np.zeros((3, 2, 5))),
        ("bars_per_horizon", (12,)),
        ("step_bars", 0),
    ],
)
def test_what_does_not_fit_the_forecast_is_named(name, value):
    with pytest.raises(DataError, match=name):
        score(**scored_inputs(50) | {name: value}, settings=SETTINGS)


def test_a_horizon_that_was_not_scored_is_named():
    with pytest.raises(DataError, match="1d was not scored"):
        score(**scored_inputs(50), settings=SETTINGS).at(Timeframe(1440))
