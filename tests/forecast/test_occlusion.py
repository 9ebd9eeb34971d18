from dataclasses import replace

import numpy as np
import pytest
import torch

from polyscale.dataset.panel import build_panel, num_origin_inputs
from polyscale.dataset.scaling import fit_scaler
from polyscale.dataset.settings import DataSettings
from polyscale.dataset.stretches import scale_panel
from polyscale.forecast.occlusion import (
    log_variances,
    thinned,
    without_feature,
    without_origin_inputs,
    without_scale,
)
from polyscale.forecast.predict import predict
from polyscale.model.network import MultiScaleAttention
from polyscale.model.settings import EncoderSettings, NetworkSettings, NetworkSpec
from polyscale.training.batches import Part

DATA = DataSettings(
    scales=[{"timeframe": "15m", "lookback": 16}, {"timeframe": "1h", "lookback": 8}],
    horizons=["1h", "4h"],
    features=("scaled_return_1", "relative_move", "close_position"),
    base_forecast={"window_days": 15, "min_days": 5},
)


@pytest.fixture(scope="module")
def market(bars):
    """A panel, what the network reads of it, a network with random heads."""
    panel = build_panel("X", bars, DATA)
    scalers = tuple(fit_scaler([rows]) for rows in panel.features)
    torch.manual_seed(1)
    spec = NetworkSpec(
        settings=NetworkSettings(
            d_model=8, encoders=(EncoderSettings(heads=2, layers=1),) * 2, cross_heads=2
        ),
        scales=("15m", "1h"),
        lookbacks=(16, 8),
        features=(DATA.features,) * 2,
        num_origin_inputs=num_origin_inputs(DATA),
        horizons=("1h", "4h"),
        levels=(0.1, 0.5, 0.9),
    )
    network = MultiScaleAttention(spec)
    torch.nn.init.normal_(network.heads.output.weight, std=0.3)
    return panel, scale_panel(panel, scalers, fit_scaler([panel.origin])), network


def part_of(market, scaled):
    return Part([scaled], [market[0].usable], DATA)


def variances(market, scaled):
    return log_variances(market[2], part_of(market, scaled))


def test_log_variances_are_those_of_the_forecast(market):
    panel, scaled, network = market
    volatility = predict(network, panel, part_of(market, scaled)).volatility
    expected = np.log(volatility**2 / np.array(panel.targets.bars_ahead))
    np.testing.assert_allclose(variances(market, scaled), expected, atol=1e-6)


def test_rows_of_a_scale_that_is_left_out_no_longer_matter(market):
    _, scaled, _ = market
    wrecked = replace(scaled, rows=(scaled.rows[0], np.full_like(scaled.rows[1], 5.0)))
    assert np.abs(variances(market, wrecked) - variances(market, scaled)).mean() > 1e-3
    left_out = [variances(market, without_scale(panel, 1)) for panel in (scaled, wrecked)]
    np.testing.assert_array_equal(*left_out)
    assert np.abs(left_out[0] - variances(market, scaled)).mean() > 1e-3


def test_an_origin_without_any_scale_is_forecast_from_its_own_inputs(market):
    _, scaled, _ = market
    bare = without_scale(without_scale(scaled, 0), 1)
    found = variances(market, bare)
    assert np.isfinite(found).all()
    assert np.abs(found - variances(market, without_origin_inputs(bare))).mean() > 1e-3


def test_a_feature_at_its_median_no_longer_matters_and_the_others_stay(market):
    _, scaled, _ = market
    rows = scaled.rows[0].copy()
    rows[:, 2] += 1
    moved = replace(scaled, rows=(rows, scaled.rows[1]))
    np.testing.assert_array_equal(
        variances(market, without_feature(scaled, 0, 2)), variances(market, without_feature(moved, 0, 2))
    )
    changed = without_feature(scaled, 0, 2)
    assert (changed.rows[0][:, 2] == 0).all()
    np.testing.assert_array_equal(changed.rows[0][:, :2], scaled.rows[0][:, :2])
    assert changed.rows[1] is scaled.rows[1]


def test_a_feature_that_the_network_does_not_read_has_no_effect(market):
    _, scaled, network = market
    stem = network.encoders[0].stem
    with torch.no_grad():
        kept = stem.embed.weight.clone(), stem.convolution.weight.clone()
        stem.embed.weight[:, 1] = 0
        stem.convolution.weight.view(8, stem.kernel, 4)[..., 1] = 0
        changed = variances(market, without_feature(scaled, 0, 1))
        np.testing.assert_array_equal(changed, variances(market, scaled))
        stem.embed.weight.copy_(kept[0])
        stem.convolution.weight.copy_(kept[1])


def test_thinned_origins_are_whole_runs_spread_over_all():
    origins = np.ones(10_000, dtype=bool)
    origins[:500] = False
    kept = thinned(origins, 2_000, 500)
    where = np.flatnonzero(kept)
    assert len(where) == 2_000
    assert where[0] == 500
    assert where[-1] == 9_999
    assert (np.diff(where) != 1).sum() == 3
    assert (thinned(origins, 10**6, 500) == origins).all()
    assert thinned(origins, 1, 500).sum() == 500
