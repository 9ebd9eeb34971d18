from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import polyscale
from polyscale.config.run_config import parse_config
from polyscale.market.errors import HistoryError
from polyscale.market.simulate import simulate_bars
from polyscale.pipeline.explain import mean_qlike, mean_shift
from tests.pipeline.one_scale_market import CONFIG, SCALES, one_scale_market
from tests.pipeline.small import small


# a coarse carrier tells something new every two hours only, and so needs more days
@pytest.mark.parametrize(("carrier", "days"), [("15m", 200), ("30m", 300), ("2h", 400)])
def test_the_scale_that_alone_carries_the_signal_has_most_importance_and_most_effect(carrier, days, tmp_path):
    bars = {"SIM": one_scale_market(carrier, days)}
    (found,) = polyscale.explain_run(polyscale.fit(CONFIG, bars, runs=tmp_path), bars)
    importance = {scale.scale: scale.importance for scale in found.scales}
    moves = {scale.scale: mean_shift(scale.effects) for scale in found.scales}
    losses = {scale.scale: mean_qlike(scale.effects) for scale in found.scales}
    others = [scale for scale in SCALES if scale != carrier]
    assert all(importance[carrier] > 1.2 * importance[other] for other in others), importance
    assert all(moves[carrier] > 2 * moves[other] for other in others), moves
    assert all(losses[carrier] > 4 * losses[other] for other in others), losses
    assert losses[carrier] > 0.1  # it did learn the signal
    assert found.scales[SCALES.index(carrier)].effects[0].qlike.above(0)
    assert (found.features[0].scale, found.features[0].feature) == (carrier, "volume_change")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = parse_config(small(), "small")
    bars = {"SIM": simulate_bars(config.market.simulation)}
    return polyscale.fit(config, bars, runs=tmp_path_factory.mktemp("runs")), bars


def test_an_explanation_is_plain_data_over_the_test(trained):
    run, bars = trained
    (found,) = polyscale.explain_run(run, bars, feature_origins=1)
    told = found.to_dict()
    assert told["num_origins"] == run.folder.read_json("split.json")["origins"]["test"]
    assert sum(scale["importance"] for scale in told["scales"]) == pytest.approx(1)
    features = run.model.network.spec.features
    assert len(told["features"]) == sum(map(len, features))
    shifts = [mean_shift(feature.effects) for feature in found.features]
    assert shifts == sorted(shifts, reverse=True)
    assert told["faithfulness"]["shift"]["value"] is None  # of two scales
    assert "needs >= 3 numbers, got 2" in told["faithfulness"]["shift"]["reason"]


def test_maps_are_those_of_the_forecast_at_the_time_asked_for(trained):
    run, bars = trained
    forecast = run.predict(bars["SIM"])
    times = [forecast.close_time[row].astype(object).replace(tzinfo=UTC) for row in (7, 3)]
    maps = polyscale.attention_maps(run, times, bars)
    np.testing.assert_allclose(maps.output.scale_weights[:, 0], forecast.scale_weights[[7, 3]], atol=1e-5)
    np.testing.assert_allclose(maps.across.sum(-1)[:, 0], forecast.cross_attention[[7, 3]], atol=1e-5)
    assert [layers[0].rows.shape[0] for layers in maps.encoders] == [2, 2]


def test_maps_at_a_time_without_a_forecast_are_refused(trained):
    run, bars = trained
    early = datetime(2025, 1, 1, 0, 15, tzinfo=UTC)
    with pytest.raises(HistoryError, match=r"maps need closes .* got \['2025-01-01 00:15'\]"):
        polyscale.attention_maps(run, [early], bars)
    with pytest.raises(HistoryError, match="got none"):
        polyscale.attention_maps(run, [], bars)
    with pytest.raises(HistoryError, match=r"got OTHER; it has \['SIM'\]"):
        polyscale.attention_maps(run, [early + timedelta(days=20)], bars, symbol="OTHER")
